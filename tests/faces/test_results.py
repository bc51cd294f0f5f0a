"""Results that say of themselves whether they hold: `if result:` would always be true."""

from dataclasses import replace

import numpy as np
import pytest

from vision_app.faces.gallery.live import LiveVerdict
from vision_app.faces.gallery.results import Candidate, Enrollment, Identities, Identity
from vision_app.faces.quality import Quality
from vision_app.faces.results import Face, Verification

GOOD = Quality(80.0, 0.2, 0.0, 0.0, 0.0, 0.5, (), 0.9)
FACE = Face(np.zeros(4), 1.0, np.zeros((5, 2)), GOOD)
ADA = Candidate(1, "Ada", 1, 0.8)
IDENTITY = Identity(np.zeros(4), ADA, (ADA,))


def verification(verdict):
    return Verification(verdict, 0.5, 0.4, 0.001, "model", FACE, FACE, (0.3, 0.6))


@pytest.mark.parametrize(
    ("result", "attribute"),
    [
        (verification("same"), "same"),
        (verification("different"), "same"),
        (IDENTITY, "name"),
        (replace(IDENTITY, person=None), "name"),
        (Identities((), 9, 9, "model", None), "faces"),
        (Enrollment("a.jpg", "Ada", "accepted"), "refused"),
        (LiveVerdict(None, "different", 0.1, GOOD), "name"),
    ],
)
def test_a_result_is_neither_true_nor_false_and_names_what_to_ask(result, attribute):
    with pytest.raises(
        TypeError, match=rf"{type(result).__name__} is neither true nor false; ask for its \.{attribute}$"
    ):
        bool(result)
    with pytest.raises(TypeError):
        assert result
    assert hasattr(result, attribute)


@pytest.mark.parametrize(("verdict", "same"), [("same", True), ("different", False), ("uncertain", False)])
def test_same_says_whether_it_is_one_person(verdict, same):
    assert verification(verdict).same is same


@pytest.mark.parametrize(
    ("person", "reasons", "verdict", "label"),
    [
        (ADA, (), "known", "Ada"),
        (None, (), "unknown", "unknown"),
        (None, ("too_small",), "uncertain", "uncertain"),
    ],
)
def test_an_identity_is_known_unknown_or_uncertain(person, reasons, verdict, label):
    identity = replace(IDENTITY, person=person, reasons=reasons)
    assert (identity.verdict, identity.label) == (verdict, label)
    row = identity.to_dict()
    assert list(row) == ["box", "name", "similarity", "candidates"] + ["reasons"] * bool(reasons)
    assert row.get("reasons", []) == list(reasons) and row["candidates"][0]["name"] == "Ada"
    photo = Identities((identity,), 9, 9, "model", 0.5)
    assert photo.captions == [f"{label} 0.80"] and photo.detections.labels == (label,)


def test_rows_of_good_faces_have_the_keys_that_they_had():
    assert list(verification("same").to_dict()) == [
        "verdict", "similarity", "threshold", "far", "contract", "face_a", "face_b",
    ]  # fmt: skip
