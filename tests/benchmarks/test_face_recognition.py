"""Recognition among made-up people: the rates that are printed are those of a plain count."""

import face_recognition
import numpy as np
import pytest
from painted_people import CALIBRATION, unit


def crowd(people, photos, noise, seed=0):
    dice = np.random.default_rng(seed)
    centers = np.repeat(unit(dice.standard_normal((people, 16))), photos, axis=0)
    names = np.repeat([f"p{number}" for number in range(people)], photos)
    return unit(centers + noise * unit(dice.standard_normal(centers.shape))), names


def test_rates_are_those_of_a_plain_count():
    embeddings, names = crowd(40, 4, 1.2)
    embeddings[5] = 0  # no face found
    people = [f"p{number}" for number in range(20)]
    done = face_recognition.trial(np.random.default_rng(1), embeddings, names, np.array(people), 1, False)
    assert len(done.right) == 20 * 3 and len(done.strangers) == 20 * 4
    threshold = done.threshold(0.1)
    assert np.mean(done.strangers >= threshold) == pytest.approx(0.1)
    missed = sum(not (right and value >= threshold) for right, value in zip(done.right, done.similarity, strict=True))
    assert done.fnir(threshold) == pytest.approx(missed / 60) and 0 < missed < 60


def test_the_report_counts_the_strangers_behind_each_rate(capsys, monkeypatch):
    monkeypatch.setattr(face_recognition, "TRIALS", 3)
    monkeypatch.setattr(face_recognition, "SIZES", (10, None))
    embeddings, names = crowd(30, 4, 0.2)
    names[:40] = ""  # people without a name
    face_recognition.report(embeddings, names, CALIBRATION)
    first, _, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert first == ["120 photos of 21 people, no usable face in 0"]
    assert [line[:3] for line in lines[:3]] == [["10", "1", "mean"], ["20", "1", "mean"], ["10", "2", "mean"]]
    assert lines[0][3:5] == ["1.0000", "0.0000 (8 of 80)"]
    assert lines[1][5].endswith("(0 of 40)")
    threshold = CALIBRATION.identify_threshold(10)
    assert lines[0][-1].endswith(f" at {threshold:.3f}")
    assert lines[2][-1].endswith(f" at {threshold + CALIBRATION.gain(2):.3f}")
