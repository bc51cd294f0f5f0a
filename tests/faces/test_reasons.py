"""What a person reads of a face that is hard to recognize."""

import pytest

from vision_app.faces import quality
from vision_app.faces.checker import CHECKS
from vision_app.faces.quality import Quality
from vision_app.faces.reasons import advice, problem

OWN = [value for name, value in vars(quality).items() if name.isupper() and isinstance(value, str) and value.islower()]
CODES = [*OWN, *CHECKS]


def judged(*reasons, size=80.0):
    return Quality(size, 0.2, 0.0, 0.0, 0.0, 0.5, reasons, 0.5)


@pytest.mark.parametrize(
    ("face", "what", "helps"),
    [
        (judged(), "", ""),
        (judged("too_small", size=12.4), "too small (12 px; at least 24 needed)", "Use a closer photo"),
        (judged("too_small", size=23.9), "too small (23 px; at least 24 needed)", "Use a closer photo"),
        (judged("blurred", "under_exposed"), "blurred, too dark", "Use a sharper photo"),
        (judged("another_reason"), "another reason", "Use another photo"),
    ],
)
def test_a_reason_says_what_is_wrong_and_what_helps(face, what, helps):
    assert (problem(face), advice(face)) == (what, helps)


@pytest.mark.parametrize("code", CODES)
def test_every_reason_has_words_of_its_own(code):
    assert advice(judged(code)).startswith("Use a") and advice(judged(code)) != "Use another photo"


def test_all_reasons_were_looked_at():
    assert {"too_small", "blurred", "extreme_pose", "under_exposed", "over_exposed"} <= set(CODES)
