"""One embedding a photo, from the rows of a run or from a file that `vision-app faces embed` wrote."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.core.errors import DataError


def largest_faces(rows: Iterable[Mapping[str, Any]], dimension: int) -> np.ndarray:
    """Return the embeddings of the largest faces.

    Args:
        rows: Of `vision-app faces`, one a photo.
        dimension: D, numbers of an embedding.

    Returns:
        (F, D) float32 unit vectors, NaN for a photo without a face.
    """
    nothing = np.full(dimension, np.nan, np.float32)
    best = (max(row["faces"], key=lambda face: face["quality"]["size"], default=None) for row in rows)
    return _unit(np.array([nothing if face is None else face["embedding"] for face in best], np.float32))


def read_embeddings(path: Path) -> tuple[list[str], np.ndarray, str]:
    """Read the largest face of each photo from an .npz file of `vision-app faces embed`.

    Returns:
        F files in their order, (F, D) float32 unit vectors and the id of the model that made them.

    Raises:
        DataError: The file is not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            files, boxes, embeddings = (content[name] for name in ("files", "boxes", "embeddings"))
            model_id = str(content["contract"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{path}: not a file that `vision-app faces embed` writes ({error})") from error
    if boxes.shape != (len(files), 4) or embeddings.ndim != 2 or len(embeddings) != len(files) or not len(files):
        raise DataError(f"{path}: its arrays do not hold a row for each face, or there is no face")
    if not np.isfinite(embeddings).all() or not np.linalg.norm(embeddings, axis=1).all():
        raise DataError(f"{path}: contains embeddings that are zero or not finite; embed the photos again")
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    best: dict[str, int] = {}
    for i, file in enumerate(files.tolist()):
        if file not in best or areas[i] > areas[best[file]]:
            best[file] = i
    return list(best), _unit(embeddings[list(best.values())].astype(np.float32)), model_id


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return (F, D) vectors of length 1; rounding changed it a little."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
