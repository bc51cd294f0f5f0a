"""Errors: what the user reads, and that they travel between processes."""

import pickle

import pytest

from vision_app.core.errors import (
    DataError,
    FaceError,
    GalleryError,
    ImageError,
    ModelError,
    UsageError,
    VisionAppError,
    nearest,
    unknown,
)


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


@pytest.mark.parametrize("kind", [VisionAppError, UsageError, DataError, ModelError, GalleryError])
def test_a_name_of_thousands_of_characters_is_shortened_in_every_error(kind):
    assert str(kind(f"a.json: category '{'x' * 5000}' is unknown")).startswith("a.json: category 'xxx")
    assert len(str(kind("x" * 5000))) < 100
    for error in (ImageError("x" * 5000, "y" * 5000), FaceError("x" * 5000, "no_face", "y" * 5000)):
        assert len(str(error)) < 200 and error.source == "x" * 5000
