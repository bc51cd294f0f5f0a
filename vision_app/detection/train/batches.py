"""Images with boxes as the batches that a detector learns from."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vision_app.core.labeled_boxes import REGION, LabeledBoxes, missing_landmarks
from vision_app.data.samples import DetectionSet
from vision_app.training.augment import Augmenter, Scene, SceneScale, fitting_scale, place, random_crop, whole_scene

SMALLEST_SIZE = 0.7  # of multi-scale training, relative to the size that the network is trained for


class Scenes(Dataset[tuple[Tensor, LabeledBoxes]]):
    """The augmented scenes of one epoch, (3, size, size) uint8 each with its boxes. Images are decoded on demand.

    Args:
        data: The images.
        augmenter: Makes the scenes.
        epoch: Which epoch.
        close: See `Augmenter`.
        propose: From an image, (H, W, 3) uint8, to (R, 4) boxes where objects may be, which join its boxes as regions.
    """

    def __init__(
        self,
        data: DetectionSet,
        augmenter: Augmenter,
        epoch: int,
        close: bool,
        propose: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.data, self.augmenter, self.epoch, self.close, self.propose = data, augmenter, epoch, close, propose

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, LabeledBoxes]:
        return _to_item(self.augmenter(self._scene, len(self), self.epoch, index, self.close))

    def _scene(self, index: int) -> Scene:
        scene = whole_scene(self.data, index)
        if self.propose is None:
            return scene
        xyxy = self.propose(scene.pixels)
        landmarks = missing_landmarks(len(xyxy), scene.boxes.landmarks.shape[1])
        regions = LabeledBoxes.make(xyxy, np.full(len(xyxy), REGION), landmarks=landmarks)
        return Scene(scene.pixels, LabeledBoxes.concatenate([scene.boxes, regions]))


def _to_item(scene: Scene) -> tuple[Tensor, LabeledBoxes]:
    return torch.from_numpy(scene.pixels).permute(2, 0, 1), scene.boxes


def collate(items: Sequence[tuple[Tensor, LabeledBoxes]]) -> tuple[Tensor, list[LabeledBoxes]]:
    """Turn images and their boxes into one batch."""
    return torch.stack([pixels for pixels, _ in items]), [boxes for _, boxes in items]


def sizes(size: int, multi_scale: bool) -> list[int]:
    """Return the sizes that batches are resized to, from 0.7 of `size` on in steps of 32 pixels, or it alone."""
    return list(range(int(SMALLEST_SIZE * size) // 32 * 32, size + 1, 32)) if multi_scale and size > 32 else [size]


def resized(images: Tensor, boxes: list[LabeledBoxes], side: int) -> tuple[Tensor, list[LabeledBoxes]]:
    """Return a batch of square scenes, (B, 3, S, S), at another size."""
    scale = side / images.shape[-1]
    if scale == 1:
        return images, boxes
    images = F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=False)
    return images, [one.scaled(scale) for one in boxes]


def plain_batches(
    data: DetectionSet, size: int, stretch: float, batch_size: int = 16
) -> Iterator[tuple[Tensor, list[LabeledBoxes]]]:
    """Yield all images of a set in order, unaugmented in the top left of (B, 3, size, size), as in prediction."""
    for start in range(0, len(data), batch_size):
        items = []
        for index in range(start, min(start + batch_size, len(data))):
            scene = whole_scene(data, index)
            height, width = scene.pixels.shape[:2]
            scale = fitting_scale(width, height, size, stretch)
            canvas = np.empty((size, size, 3), np.uint8)
            items.append(_to_item(place(scene, canvas, scale, (0, 0), (0, 0, size, size))))
        pixels, boxes = collate(items)
        yield pixels.float() / 255, boxes


def typical_batches(
    data: DetectionSet, size: int, stretch: float, count: int = 256, batch_size: int = 16
) -> Iterator[Tensor]:
    """Yield crops of random images as the network takes them, (B, 3, size, size), to measure activations on."""
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(data), min(count, len(data)), replace=False)
    scales = SceneScale(size, stretch, (0.6, 1.4))
    for start in range(0, len(chosen), batch_size):
        scenes = [whole_scene(data, i) for i in chosen[start : start + batch_size]]
        crops = [random_crop(scene, scales, generator).pixels for scene in scenes]
        yield torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
