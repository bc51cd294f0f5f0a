"""The table of turned and damaged photos: which pairs are compared, and that all are counted."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import face_robustness
import numpy as np
from face_robustness import Pairs
from PIL import Image
from tiny_faces import ASTRONAUT, green_detector, paint_face, write_tiny_embedder

from vision_app.faces.calibration import Calibration, Rate
from vision_app.faces.detector import FaceDetector
from vision_app.faces.quality import Quality
from vision_app.faces.results import Face

RNG = np.random.default_rng(0)
FINE = Quality(100.0, 0.2, 0.0, 0.0, 0.0, 0.5, (), 0.9)
FACE = Face(np.array([185.0, 60, 265, 180]), 1.0, ASTRONAUT, FINE)


def test_pairs_are_drawn_by_a_seed_from_all_pairs_of_strangers():
    every = Pairs.drawn(4, 1000, seed=0)
    assert every.genuine.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert len(every.strangers) == 24 == len({frozenset(pair) for pair in every.strangers.tolist()})
    assert (every.strangers[:, 0] // 2 != every.strangers[:, 1] // 2).all()
    some = Pairs.drawn(4, 10, seed=0)
    assert len(some.strangers) == 10
    np.testing.assert_array_equal(some.strangers, Pairs.drawn(4, 10, seed=0).strangers)
    assert some.strangers.tolist() != Pairs.drawn(4, 10, seed=1).strangers.tolist()


class Opinions:
    """Compares faces, whose scores are numbers, by a rule: nothing is embedded."""

    def compare(self, a, b, far):
        assert far == 0.01
        gap = abs(a.score - b.score)
        return SimpleNamespace(verdict="same" if gap < 2 else "uncertain" if gap < 4 else "different")


def faces(*scores, **quality):
    return [None if score is None else replace(FACE, score=score, quality=replace(FINE, **quality)) for score in scores]


def test_every_pair_is_counted_and_a_missing_face_makes_it_uncertain():
    clean, treated = faces(0, 1, 10, 14, 20, 23), faces(0, 3, None, 12, 13, 30, reasons=("blurred",))
    pairs = Pairs.drawn(3, 1000, seed=0)
    lines = face_robustness.measured(Opinions(), clean, treated, pairs, 0.01)
    alike, against_clean = lines["alike"], lines["clean"]
    assert alike.genuine.tolist() == ["uncertain", "uncertain", "different"]
    assert against_clean.genuine.tolist() == ["same", "uncertain", "different"]
    assert alike.itself is None
    assert against_clean.itself.tolist() == ["same", "uncertain", "uncertain", "uncertain", "different", "different"]
    # 12 pairs of strangers: of them 12 and 13 are "same", and the 4 with the photo without a face are uncertain.
    assert Counter(alike.strangers.tolist()) == {"same": 1, "uncertain": 4, "different": 7}
    assert len(against_clean.strangers) == 12

    def cells_of(against, answers):
        return dict(
            zip(face_robustness.COLUMNS, face_robustness.line("x", against, treated, answers, pairs), strict=True)
        )

    cells = cells_of("clean", against_clean)
    assert (cells["one person same"], cells["uncertain"], cells["different"]) == ("33.3%", "33.3%", "33.3%")
    assert (cells["itself"], cells["no face"], cells["reasons"]) == ("16.7%", "16.7%", "83.3%  blurred 83%")
    cells = cells_of("alike", alike)
    assert (cells["strangers same"], cells["strangers uncertain"], cells["itself"]) == ("1 of 12", "33.3%", "-")


def test_the_interval_knows_that_pairs_share_people():
    pairs = Pairs.drawn(20, 1000, seed=0).strangers
    one = (pairs // 2 == 0).any(axis=1) | (pairs // 2 == 1).any(axis=1)  # two people are taken for everybody
    low, high = face_robustness.interval(one, pairs)
    wilson = face_robustness.Share(int(one.sum()), len(one)).interval
    assert low < wilson[0] < one.mean() < wilson[1] < high
    none = face_robustness.interval(np.zeros(len(pairs), bool), pairs)
    assert none == (0.0, face_robustness.Share(0, len(pairs)).interval[1])


def test_faults_are_rates_above_the_stated_one_and_photos_unlike_themselves_when_turned():
    pairs = Pairs.drawn(20, 1000, seed=0)
    bad = face_robustness.Verdicts(np.full(len(pairs.strangers), "same"), np.full(20, "same"), np.full(40, "different"))
    said = list(face_robustness.faults("turned 40", "clean", bad, pairs, 0.001, True))
    assert len(said) == 2 and "more often than the rate of 0.001" in said[0] and "0.0% of the photos" in said[1]
    assert len(list(face_robustness.faults("dark", "clean", bad, pairs, 0.001, False))) == 1
    good = face_robustness.Verdicts(np.full(len(pairs.strangers), "uncertain"), bad.genuine, np.full(40, "same"))
    assert list(face_robustness.faults("turned 40", "clean", good, pairs, 0.001, True)) == []


def test_the_table_has_two_lines_for_each_angle_and_damage(tmp_path, monkeypatch, benchmark):
    monkeypatch.setattr(FaceDetector, "load", lambda *_, **__: green_detector())
    rates = Rate(0.1, 0.2, 0.18, 0.22), Rate(0.001, 0.4, 0.37, 0.45)
    calibration = Calibration(rates, tail_far=0.1, tail_scale=0.05, impostor_pairs=9, genuine_pairs=9, people=9)
    write_tiny_embedder(tmp_path / "tiny", calibration=calibration.to_dict())
    rows = ["file,identity,split"]
    for person in range(5):
        for photo in range(3 if person else 1):
            pixels = np.full((80, 70, 3), 90, np.uint8)
            paint_face(pixels, (15, 15, 55, 65))
            pixels[30 : 34 + 2 * person : 3, 20 + photo : 50] = (10, 200, 40)
            Image.fromarray(pixels).save(tmp_path / f"{person}_{photo}.png")
            rows.append(f"{person}_{photo}.png,p{person},{'train' if person == 1 else 'val'}")
    (tmp_path / "images.csv").write_text("\n".join(rows))
    words = [
        tmp_path / "images.csv",
        "--model",
        tmp_path / "tiny",
        "--step",
        "90",
        "--damages",
        "dark",
        "--people",
        "2",
    ]
    words[words.index("dark")] = "light / 5"
    done = benchmark("face_robustness.py", *words)
    first, head, *lines = done.stdout.splitlines()
    assert first.startswith("4 photos of 2 people, no face found in 0; verdicts at a false accept rate of 0.001")
    assert head.split() == " ".join(face_robustness.COLUMNS).split()
    assert [line[:35].split() for line in lines[:4]] == [
        ["turned", "0", "alike"], ["turned", "0", "clean"], ["turned", "90", "alike"], ["turned", "90", "clean"],
    ]  # fmt: skip
    assert [line[:35].split() for line in lines[8:10]] == [["light", "/", "5", "alike"], ["light", "/", "5", "clean"]]
    assert all(" of 4 " in line for line in lines[:10]) and len(lines) > 10
    assert "error: " in str(benchmark("face_robustness.py", tmp_path / "missing.csv").returncode)
