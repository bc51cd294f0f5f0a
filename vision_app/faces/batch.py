"""What `vision-app faces` does with each image; see `vision_app.batch.run`."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from vision_app.batch.sinks import ImageFolder, writing
from vision_app.batch.sources import Input
from vision_app.core.draw import draw
from vision_app.core.files import OWNER_ONLY, atomic_write, remove_with_leftovers
from vision_app.core.images import MAX_PIXELS, RGBImage, read_image
from vision_app.core.results import Detections


class FaceAnswer(Protocol):
    """What a task answers for an image: `Faces`, or the `Identities` of a gallery."""

    @property
    def detections(self) -> Detections:
        """The faces, to draw them."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""


class FacesTask:
    """Finds the faces of images, with or without embeddings or names.

    Args:
        recognize: Returns the faces of an image.
        about: What each row says of the models, such as their name, between the image's size and the faces.
        device: Where the networks run.
        max_pixels: See `read_image`.
        pictures: Takes annotated copies.
    """

    def __init__(
        self,
        recognize: Callable[[RGBImage], FaceAnswer],
        about: dict[str, str],
        *,
        device: str,
        max_pixels: int = MAX_PIXELS,
        pictures: ImageFolder | None = None,
    ):
        self.recognize = recognize
        self.max_pixels = max_pixels
        self.pictures = pictures
        self._nothing: dict[str, Any] = {"width": None, "height": None, **about, "faces": []}
        # Images take turns on a GPU, or each worker would need memory there.
        self._turn: AbstractContextManager[Any] = nullcontext() if device == "cpu" else Lock()

    def read(self, item: Input) -> RGBImage:
        """Decode one image, at full size: faces are cut out of it."""
        return read_image(item.file, max_pixels=self.max_pixels)

    def predict(self, items: Sequence[Input], images: list[RGBImage]) -> list[FaceAnswer]:
        """Find the faces of each image."""
        with self._turn:
            return [self.recognize(image) for image in images]

    def save(self, item: Input, image: RGBImage, result: FaceAnswer) -> None:
        """Write the annotated copy."""
        if self.pictures is not None:
            self.pictures.write(item.name, draw(image, result.detections))

    def row(self, item: Input, result: FaceAnswer | None) -> dict[str, Any]:
        """Return the keys of `Faces.to_dict`, or of `Identities.to_dict`."""
        return self._nothing if result is None else result.to_dict()


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
