"""Errors: what the user reads, and that they travel between processes."""

import pickle

import pytest

from vision_app.core.errors import ImageError, VisionAppError, nearest, unknown


def test_an_image_error_is_one_sentence_and_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("a/b.jpg", "no such file")))
    assert isinstance(error, VisionAppError)
    assert (str(error), error.source, error.reason) == ("a/b.jpg: no such file", "a/b.jpg", "no such file")


@pytest.mark.parametrize(
    ("word", "expected"), [("dgo", "dog"), ("DOG", "dog"), ("Tv Monitor", "TV monitor"), ("xyz", None), ("", None)]
)
def test_the_nearest_name_is_found_whatever_its_case_or_none(word, expected):
    assert nearest(word, ["cat", "dog", "TV monitor"]) == expected


@pytest.mark.parametrize(
    ("value", "candidates", "expected"),
    [
        ("dgo", ["cat", "dog"], "unknown class 'dgo'; did you mean 'dog'?"),
        ("xyz", ["cat", "dog"], "unknown class 'xyz'; choose from cat, dog"),
        ("xyz", [], "unknown class 'xyz'"),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_the_choices(value, candidates, expected):
    assert unknown("class", value, iter(candidates)) == expected
