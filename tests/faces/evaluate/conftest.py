"""People whose photos the tests of evaluations compare."""

from pathlib import Path

import numpy as np
import pytest

from vision_app.faces.evaluate.pairs import FacePhotos, PairList

PEOPLE, PHOTOS = 30, 4


@pytest.fixture(scope="session")
def people():
    """Embeddings of people, one of whom looks like another, and of two groups, one of which is hard."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(PEOPLE, 1, 16))
    centers[1] = centers[0] + 0.1 * rng.normal(size=16)
    noise = np.where(np.arange(PEOPLE) < 15, 0.2, 0.9)[:, None, None]
    embeddings = (centers + noise * rng.normal(size=(PEOPLE, PHOTOS, 16))).reshape(-1, 16).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = np.repeat([f"p{i:02}" for i in range(PEOPLE)], PHOTOS)
    files = tuple(f"{name}/{i}.jpg" for i, name in enumerate(names))
    groups = np.repeat(["easy", "hard"], PEOPLE * PHOTOS // 2)
    return FacePhotos(files, tuple(map(Path, files)), names, groups), embeddings


@pytest.fixture(scope="session")
def with_list():
    """Add pairs of the same photos as a list, in ten given folds."""

    def add(photos, pairs):
        first, second = np.array(pairs).T
        same = photos.names[first] == photos.names[second]
        folds = np.repeat(np.arange(len(pairs))[:, None] % 10, 2, axis=1)
        listed = PairList(first, second, same, folds, True, np.full(len(pairs), ""))
        return FacePhotos(photos.files, photos.paths, photos.names, photos.groups, listed)

    return add
