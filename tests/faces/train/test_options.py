"""Options of training a face embedder are checked."""

import pytest

from vision_app.core.errors import UsageError
from vision_app.faces.train.options import FaceOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "triplets"}, "loss: unknown choice 'triplets'; did you mean 'triplet'"),
        ({"miner": "hard"}, "miner: unknown choice 'hard'; did you mean 'semi-hard'"),
        ({"distance": "cosine"}, "distance: unknown choice 'cosine'"),
        ({"photos": 1}, "photos 1: must lie between 2 and 2048; the nearest valid value is 2"),
        ({"margin": -0.1}, "margin -0.1: must lie between 0.0 and 2.0"),
    ],
)
def test_wrong_options_name_the_nearest_valid_one(options, words):
    with pytest.raises(UsageError, match=words):
        FaceOptions(**options)
