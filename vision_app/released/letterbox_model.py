"""What detectors and classifiers have in common: a released model whose network takes letterboxed images."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.letterbox import Letterbox, letterbox
from vision_app.core.several import several
from vision_app.released.find import Model


@dataclass(frozen=True)
class Inputs:
    """Letterboxed images: (h, w, 3) uint8 each, and the ways back to the originals."""

    pixels: tuple[np.ndarray, ...]
    letterboxes: tuple[Letterbox, ...]


def batches(inputs: Inputs) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield images of one shape together: their indices and (b, h, w, 3) uint8."""
    groups = defaultdict(list)
    for i, pixels in enumerate(inputs.pixels):
        groups[pixels.shape].append(i)
    for indices in groups.values():
        yield indices, np.stack([inputs.pixels[i] for i in indices])


class LetterboxModel:
    """A released model and how it takes images.

    Raises:
        ModelError: model.json lacks something.
    """

    models: tuple[Model, ...]
    defaults: Mapping[str, Any]

    def __init__(self, model: Model, *, runtime: str, device: str):
        self.model, self.models = model, (model,)
        self.name, self.classes, self.defaults = model.name, model.classes, model.defaults
        self.runtime, self.device = runtime, device
        self.size: int = model.value("input.size", int)
        self.pad: int = model.value("input.pad", int)
        self._stretch: float = model.info["input"].get("stretch", 1.0)

    @property
    def target(self) -> int:
        """Pixels that the model can use of an image's long side.

        The short side needs up to `stretch` times as many pixels as the long one's scale leaves it.
        """
        return math.ceil(self.size * self._stretch)

    def read(self, source: ImageSource, **options: Any) -> RGBImage:
        """Read an image at the resolution that this model needs; options and errors are those of `read_image`."""
        return read_image(source, target=self.target, **options)

    def preprocess(self, images: RGBImage | Sequence[RGBImage]) -> Inputs:
        """Scale one image or each of several to the model's size on the long side, on gray up to a multiple of 32."""
        fit = (self.size, self.pad, self._stretch)
        boxed = [letterbox(image.pixels, image.width, image.height, *fit) for image in several(images)]
        return Inputs(tuple(pixels for pixels, _ in boxed), tuple(back for _, back in boxed))

    def join(self, parts: Sequence[Inputs]) -> Inputs:
        """Return several images' inputs as those of one batch."""
        return Inputs(
            tuple(pixels for part in parts for pixels in part.pixels),
            tuple(back for part in parts for back in part.letterboxes),
        )
