"""Batches of people: who is in them, how often, and that (seed, epoch, step) decide it alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_app.core.errors import DataError, UsageError
from vision_app.faces.train.samplers import PeopleBatches
from vision_app.training.config import TrainConfig

# 5 people with 6 photos, 3 with 2, 4 with 1, and 30 faces without a name, mixed
PEOPLE = [*np.repeat(range(5), 6), *np.repeat([5, 6, 7], 2), *range(8, 12), *[-1] * 30]
LABELS = np.random.default_rng(0).permutation(PEOPLE)
CONFIG = TrainConfig(batch_size=20, seed=3)


def faces(batches):
    return [[face for _, face in batch] for batch in batches]


def test_a_batch_holds_the_photos_of_some_people_and_others():
    batches = faces(PeopleBatches(LABELS, 4, 3).batches(CONFIG, 0))
    assert len(batches) == len(LABELS) // 20 == 3
    for batch in batches:
        counts = Counter(LABELS[batch].tolist())
        several = {person: count for person, count in counts.items() if 0 <= person < 8}
        assert len(batch) == 20 and len(several) == 4
        assert all(count == (3 if person < 5 else 2) for person, count in several.items())
        assert len(set(batch)) == 20
    others = [face for batch in batches for face in batch if LABELS[face] < 0 or LABELS[face] >= 8]
    assert len(set(others)) == len(others)  # none comes twice in an epoch


def test_everyone_has_a_turn_before_anyone_has_another():
    sampler = PeopleBatches(LABELS, 3, 2)
    turns = [int(person) for people in sampler._in_turn(16, np.random.default_rng(0)) for person in people]
    assert len(turns) == 48
    for start in range(0, 48, 3):
        assert len(set(turns[start : start + 3])) == 3
    counts = Counter(turns)
    assert set(counts) == set(range(8)) and max(counts.values()) - min(counts.values()) <= 1


def test_batches_depend_on_seed_epoch_and_step_alone():
    sampler = PeopleBatches(LABELS, 4, 3)
    whole = sampler.batches(CONFIG, 1)
    assert sampler.batches(CONFIG, 1) == whole and sampler.batches(CONFIG, 1, start=2) == whole[2:]
    assert PeopleBatches(LABELS, 4, 3).batches(CONFIG, 2) != whole
    assert sampler.batches(TrainConfig(batch_size=20, seed=4), 1) != whole
    places = [place for batch in whole for place, _ in batch]
    assert len(set(places)) == len(places) == 60


def test_processes_share_a_batch_and_all_get_several_photos_of_a_person():
    sampler = PeopleBatches(LABELS, 4, 3)
    whole = sampler.batches(CONFIG, 0)
    shares = [sampler.batches(CONFIG, 0, rank=rank, world=2) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole
    for share in shares:
        for batch in faces(share):
            counts = Counter(LABELS[batch].tolist())
            assert sum(count > 1 for person, count in counts.items() if 0 <= person < 8) >= 2


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=12).filter(lambda c: max(c) > 1),
    unnamed=st.integers(0, 40),
    people=st.integers(1, 4),
    photos=st.integers(2, 5),
    size=st.integers(20, 60),
)
def test_every_batch_is_full_and_no_person_has_too_many_photos(counts, unnamed, people, photos, size):
    labels = np.concatenate([np.repeat(range(len(counts)), counts), np.full(unnamed, -1)])
    config = TrainConfig(batch_size=size)
    sampler = PeopleBatches(labels, people, photos)
    batches = faces(sampler.batches(config, 0))
    assert len(batches) == sampler.batches_per_epoch(config) == max(1, len(labels) // size)
    assert {len(batch) for batch in batches} == {min(size, len(labels))}
    for batch in batches:
        several = sum(count > 1 for person, count in Counter(labels[batch].tolist()).items() if person >= 0)
        assert several >= min(people, sum(count > 1 for count in counts))


def test_without_people_all_faces_come_once():
    batches = faces(PeopleBatches(LABELS, 0, 4).batches(TrainConfig(batch_size=10), 5))
    assert sorted(face for batch in batches for face in batch) == list(range(70))


@pytest.mark.parametrize(
    ("labels", "words"), [([0, 0, 0], "1 people with a name"), ([-1, -1], "0 people"), ([0, 1, 2], "nobody has two")]
)
def test_people_are_needed_for_triplets(labels, words):
    with pytest.raises(DataError, match=words):
        PeopleBatches(np.array(labels), 2, 2)


def test_more_people_than_a_batch_holds_and_more_processes_than_faces_are_refused():
    with pytest.raises(UsageError, match=r"--people 12: with --photos 4 each .* the nearest valid value is 5"):
        PeopleBatches(LABELS, 12, 4).batches(CONFIG, 0)
    with pytest.raises(DataError, match="4 processes cannot share 3 faces"):
        PeopleBatches(np.array([0, 0, 1]), 1, 2).batches(CONFIG, 0, world=4)
