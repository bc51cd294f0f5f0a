"""One look of a model at a picture: the costly part, done once and kept for the visitor's session.

What the sliders change is `Detector.postprocess` alone, and that runs on a kept look.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from vision_app import Detections, DetectOptions, Detector, RGBImage, read_image
from vision_app.core.errors import ImageError
from vision_app.core.timing import timed
from vision_app.ui.pictures import Picture

VIEW_SIZE = 1024
KEPT_LOOKS = 40

Looks = OrderedDict[tuple[str, str, str], "Look | ImageError"]


@dataclass(frozen=True)
class Look:
    """What one model saw in one picture, before thresholds.

    Attributes:
        view: The picture for the screen, at most VIEW_SIZE pixels on the long side.
        raw: The network's output.
        reading_ms: Milliseconds to decode the picture for the network.
        stages: Milliseconds of preprocessing and of the network's stages; see `detection.stages`.
    """

    view: RGBImage
    raw: Any
    reading_ms: float
    stages: dict[str, float]

    @property
    def network_ms(self) -> float:
        """Milliseconds of preprocessing and network."""
        return sum(self.stages.values())


def look(picture: Picture, detector: Detector, kept: Looks) -> Look:
    """Return the detector's look at the picture, from `kept` where it is there; see `keep`."""
    return keep(kept, (picture.digest, detector.name, detector.runtime), picture, lambda: _look(picture, detector))


def keep(kept: OrderedDict, key: tuple[str, str, str], picture: Picture, make: Callable[[], Any]) -> Any:
    """Return what `make` makes of a picture, from `kept` where it is there.

    `kept` holds the most recently used KEPT_LOOKS looks by picture digest, model name and runtime, failed ones too.

    Raises:
        ImageError: The picture cannot be read.
    """
    if key not in kept:
        try:
            kept[key] = make()
        except ImageError as error:
            kept[key] = ImageError(picture.name, error.reason)  # without the traceback, which holds the picture
    kept.move_to_end(key)
    while len(kept) > KEPT_LOOKS:
        kept.popitem(last=False)
    if isinstance(kept[key], ImageError):
        raise ImageError(picture.name, kept[key].reason)  # the same file may go by another name now
    return kept[key]


def find(seen: Look, detector: Detector, options: DetectOptions) -> tuple[Detections, float]:
    """Return the objects under these options and the milliseconds of thresholds and non-max suppression."""
    start = perf_counter()
    (detections,) = detector.postprocess(seen.raw, options)
    return detections, 1000 * (perf_counter() - start)


def view(picture: Picture, kept: Looks) -> RGBImage:
    """Return the picture for the screen, see `Look`, from `kept` where it is there.

    Raises:
        ImageError: The picture cannot be read.
    """
    return keep(kept, (picture.digest, "view", ""), picture, lambda: view_of(picture))


def _look(picture: Picture, detector: Detector) -> Look:
    start = perf_counter()
    image = detector.read(picture.data, name=picture.name)
    reading_ms = 1000 * (perf_counter() - start)
    raw, stages = timed(detector, image)
    return Look(view_of(picture), raw, reading_ms, stages.times)


def view_of(picture: Picture) -> RGBImage:
    """Return the picture for the screen, see `Look`.

    Raises:
        ImageError: The picture cannot be read.
    """
    image = read_image(picture.data, target=VIEW_SIZE, name=picture.name)
    small = Image.fromarray(image.pixels)
    small.thumbnail((VIEW_SIZE, VIEW_SIZE))
    return RGBImage(np.asarray(small), image.width, image.height)
