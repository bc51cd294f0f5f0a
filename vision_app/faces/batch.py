"""What `vision-app faces` does with each image, see `vision_app.batch.run`, and embeddings as a file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from vision_app.batch.sinks import ImageFolder, writing
from vision_app.batch.sources import Input
from vision_app.core.draw import draw
from vision_app.core.errors import DataError
from vision_app.core.files import OWNER_ONLY, atomic_write, remove_with_leftovers
from vision_app.core.images import RGBImage, read_image
from vision_app.core.limits import ReadLimits
from vision_app.core.results import Detections


class FaceAnswer(Protocol):
    """What a task answers for an image: `Faces`, or the `Identities` of a gallery."""

    @property
    def detections(self) -> Detections:
        """The faces, to draw them."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


@dataclass(eq=False)
class FacesTask:
    """Finds the faces of images, with or without embeddings or names.

    Attributes:
        recognize: Returns the faces of an image.
        about: What each row says of the models, such as their name, between the image's size and the faces.
        device: Where the networks run.
        limits: See `read_image`.
        copies: Takes annotated copies.
    """

    recognize: Callable[[RGBImage], FaceAnswer]
    about: dict[str, str]
    device: str = field(kw_only=True)
    limits: ReadLimits = field(default=ReadLimits(), kw_only=True)
    copies: ImageFolder | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # Images take turns on a GPU, or each worker would need memory there.
        self._turn: AbstractContextManager[Any] = nullcontext() if self.device == "cpu" else Lock()

    def read(self, item: Input) -> RGBImage:
        """Decode one image, at full size: faces are cut out of it."""
        return read_image(item.file, max_pixels=self.limits.max_pixels, max_bytes=self.limits.max_bytes)

    def predict(self, items: Sequence[Input], images: list[RGBImage]) -> list[FaceAnswer]:
        """Find the faces of each image."""
        with self._turn:
            return [self.recognize(image) for image in images]

    def save(self, item: Input, image: RGBImage, result: FaceAnswer) -> str | None:
        """Write the annotated copy; a row does without one that cannot be written."""
        if self.copies is None:
            return None
        return self.copies.try_to_write(item.name, lambda: draw(image, result.detections))

    def row(self, item: Input, result: FaceAnswer | None) -> dict[str, Any]:
        """Return the keys of `Faces.to_dict`, or of `Identities.to_dict`."""
        nothing: dict[str, Any] = {"width": None, "height": None, **self.about, "faces": []}
        return nothing if result is None else result.to_dict()


def write_embeddings(path: Path, rows: Iterable[dict[str, Any]], *, model_id: str, dimension: int) -> None:
    """Write the faces of a journal as one NPZ file, which `np.load(path, allow_pickle=False)` opens.

    Its arrays have one row a face, N in all: `files` (unicode), `boxes` (N, 4) xyxy and `landmarks` (N, 5, 2) x, y in
    pixels of the photo, `quality` (N,) scores 0 to 1, `embeddings` (N, D), all float32; and `contract`, the model
    id of all embeddings.

    Args:
        path: The file, which only its owner may read; it appears whole or not at all.
        rows: Of the journal; failed ones have no faces.
        model_id: See `Embedder.model_id`.
        dimension: D.

    Raises:
        OutputError: It could not be written.
    """
    files: list[str] = []
    columns: dict[str, list[np.ndarray]] = {"boxes": [], "landmarks": [], "quality": [], "embeddings": []}
    for row in rows:
        for face in row["faces"]:
            files.append(row["file"])
            values = face["box"], face["landmarks"], face["quality"]["score"], face["embedding"]
            for column, value in zip(columns.values(), values, strict=True):
                column.append(np.array(value, np.float32))
    shapes = {"boxes": (4,), "landmarks": (5, 2), "quality": (), "embeddings": (dimension,)}
    arrays = {name: np.array(columns[name], np.float32).reshape(-1, *shape) for name, shape in shapes.items()}
    with writing(path):
        remove_with_leftovers(path)
        with atomic_write(path, OWNER_ONLY) as temporary, temporary.open("wb") as stream:
            np.savez(stream, files=np.array(files, np.str_), contract=model_id, allow_pickle=False, **arrays)


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
