"""COCO-style files, each in a folder of its test."""

from functools import partial

import pytest
from coco_files import write_coco


@pytest.fixture
def write(tmp_path):
    """Write a COCO-style file and a 64 x 48 photo for each of its images."""
    return partial(write_coco, tmp_path)
