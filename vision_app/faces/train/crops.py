"""Aligned faces with a margin, which training augments: detected once, stored in one file."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError, ImageError
from vision_app.core.files import atomic_write
from vision_app.core.images import RGBImage, read_image
from vision_app.core.results import Detections
from vision_app.data.identities import Portrait
from vision_app.data.scan_report import ScanReport
from vision_app.faces.align import MARGIN, SIDE, align, landmarks_of

EVERY = 500  # photos between lines of progress
FindFaces = Callable[[RGBImage], Detections]  # finds faces with their landmarks, such as a `FaceDetector`


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """N aligned faces.

    Attributes:
        pixels: (N, 160, 160, 3) uint8 RGB, the faces aligned to the template in the 112 x 112 pixels in the middle.
        identities: (N,) names, "" where they are unknown.
        files: (N,) names of the photos in their data.
        template: (5, 2) where the landmarks lie in the middle, see `align.align`.
    """

    pixels: np.ndarray
    identities: np.ndarray
    files: np.ndarray
    template: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def chips(self) -> np.ndarray:
        """(N, 112, 112, 3) uint8 the faces without the margin, as the network takes them; a view of `pixels`."""
        return self.pixels[:, MARGIN:-MARGIN, MARGIN:-MARGIN]

    @property
    def labels(self) -> np.ndarray:
        """(N,) numbers of the people in the order of their names, -1 where they are unknown."""
        names, labels = np.unique(self.identities, return_inverse=True)
        return labels - 1 if "" in names[:1] else labels

    def subset(self, chosen: np.ndarray) -> "FaceCrops":
        """Return some of the faces, by index or mask."""
        return FaceCrops(self.pixels[chosen], self.identities[chosen], self.files[chosen], self.template)

    def digest(self) -> str:
        """Return twelve digits that change with any pixel or name."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.pixels).data, digest_size=6)
        digest.update(repr((self.identities.tolist(), self.files.tolist())).encode())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "FaceCrops":
        """Read what `save` wrote.

        Raises:
            DataError: The file is not one of these.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                crops = cls(**{name: content[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{path}: not a file of aligned faces ({error})") from error
        if crops.pixels.dtype != np.uint8 or crops.pixels.shape[1:] != (SIDE, SIDE, 3):
            wanted = f"{SIDE} x {SIDE} x 3 of uint8"
            raise DataError(f"{path}: its faces are {crops.pixels.shape[1:]} of {crops.pixels.dtype}, not {wanted}")
        if not len(crops) == len(crops.identities) == len(crops.files):
            raise DataError(f"{path}: has {len(crops)} faces, but not as many identities and files")
        if crops.template.shape != (5, 2):
            raise DataError(f"{path}: its template is {crops.template.shape}, not 5 x 2")
        return crops


def joined(parts: Sequence[FaceCrops]) -> FaceCrops:
    """Join several sets of one template; the same name in two of them is one person."""
    if len(parts) == 1:
        return parts[0]
    names = ("pixels", "identities", "files")
    pixels, identities, files = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return FaceCrops(pixels, identities, files, parts[0].template)


def find_crops(
    portraits: Sequence[Portrait],
    find: FindFaces,
    template: np.ndarray,
    *,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[FaceCrops, ScanReport]:
    """Detect and align the face on each photo; of several the largest, which is reported.

    Args:
        portraits: The photos.
        find: Finds faces with their landmarks.
        template: (5, 2) that the model aligns to.
        log: Takes lines of progress.

    Returns:
        The faces in the order of the photos, and a report of photos that cannot be read, without a face or with more
        than one.

    Raises:
        DataError: No photo shows a face.
    """
    report, kept = ScanReport(), list[Portrait]()
    pixels = np.empty((len(portraits), SIDE, SIDE, 3), np.uint8)  # what remains unused at the end takes no memory
    for done, portrait in enumerate(portraits):
        if done and done % EVERY == 0:
            log(f"aligned the faces of {done} of {len(portraits)} photos")
        try:
            image = read_image(portrait.path)
            found = find(image)
        except ImageError as error:
            report.add("corrupt image", str(error))
            continue
        if not len(found):
            report.add("no face", f"no face was found on {portrait.path}")
            continue
        if len(found) > 1:
            report.add("several faces", f"{portrait.path} shows {len(found)} faces (the largest is kept)")
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        landmarks = landmarks_of(found)[sides.prod(axis=1).argmax()]
        pixels[len(kept)] = align(image.pixels, landmarks, template + np.float32(MARGIN), SIDE)
        kept.append(portrait)
    if not kept:
        raise DataError(f"none of the {len(portraits)} photos shows a face ({report.first()})")
    names, files = ([getattr(portrait, key) for portrait in kept] for key in ("identity", "file"))
    return FaceCrops(pixels[: len(kept)], np.array(names, np.str_), np.array(files, np.str_), template), report
