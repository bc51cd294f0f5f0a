"""One embedding a photo, from rows and from a file."""

import numpy as np
import pytest

from vision_app.core.errors import DataError
from vision_app.faces.batch import largest_faces, read_embeddings


def face(size, *embedding):
    return {"quality": {"size": size}, "embedding": list(embedding)}


def test_the_largest_face_of_a_photo_counts():
    rows = [{"faces": [face(20, 1, 0), face(90, 0, 2)]}, {"faces": []}, {"faces": [face(5, 3, 4)]}]
    np.testing.assert_allclose(largest_faces(rows, 2), [[0, 1], [np.nan, np.nan], [0.6, 0.8]], rtol=1e-6)


def test_embeddings_are_read_from_their_file(tmp_path):
    boxes = np.array([[0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 20, 20]], np.float32)
    arrays = {
        "files": np.array(["b/1", "b/1", "a/2"]),
        "boxes": boxes,
        "embeddings": np.float32([[1, 0], [0, 1], [1, 0]]),
    }
    np.savez(tmp_path / "good.npz", contract="c", **arrays)
    files, embeddings, contract = read_embeddings(tmp_path / "good.npz")
    assert files == ["b/1", "a/2"] and embeddings.tolist() == [[0, 1], [1, 0]] and contract == "c"
    np.savez(tmp_path / "nan.npz", contract="c", **arrays | {"embeddings": np.full((3, 2), np.nan)})
    np.savez(tmp_path / "short.npz", contract="c", **arrays | {"embeddings": np.ones((2, 2))})
    np.savez(tmp_path / "other.npz", files=arrays["files"])
    for name, problem in (("nan", "zero or not finite"), ("short", "a row for each"), ("other", "not a file that")):
        with pytest.raises(DataError, match=f"{name}.npz: .*{problem}"):
            read_embeddings(tmp_path / f"{name}.npz")
