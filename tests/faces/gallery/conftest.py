"""A gallery of painted people, made once and copied for each test."""

import shutil

import pytest
from painted_people import paint, painted_recognizer

from vision_app import Gallery


@pytest.fixture(scope="session")
def recognizer():
    return painted_recognizer()


@pytest.fixture(scope="session")
def two_people(tmp_path_factory, recognizer):
    """The folder of a gallery of Ada with two photos, and Bob with one."""
    folder = tmp_path_factory.mktemp("enrolled")
    with Gallery.open(folder / "people.db", recognizer=recognizer) as opened:
        opened.enroll("Ada", [paint((1, 1)), paint((1, 2))], consent="signed in May, \u201cgerne\u201d")
        opened.enroll("Bob", [paint((2, 1))])
    return folder


@pytest.fixture
def path(tmp_path, two_people):
    """A copy of that gallery."""
    shutil.copytree(two_people, tmp_path, dirs_exist_ok=True)
    return tmp_path / "people.db"


@pytest.fixture
def gallery(path, recognizer):
    with Gallery.open(path, recognizer=recognizer) as opened:
        yield opened
