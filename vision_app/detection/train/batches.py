"""Photos with boxes as the tensors that the detector learns from."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vision_app.data.samples import DetectionSet
from vision_app.detection.model.targets import Targets
from vision_app.released.landmarks import not_known
from vision_app.training.augment import Augmenter, Scene, View, fitting_scale, place, random_view

LARGEST_ZOOM = 1.5  # of the long side relative to the scene: more pixels of a photo are never looked at
PROPOSED = -1  # in place of a box's id: it is no object, but may hold one
SMALLEST_SIZE = 0.7  # of multi-scale training, relative to the size that the network is trained for


class Scenes(Dataset):
    """The augmented scenes of one epoch, (3, size, size) uint8 each with its targets. Photos are decoded on demand.

    Args:
        propose: photo, (H, W, 3) uint8 -> (R, 4) boxes where objects may be, which become the targets' `proposals`.
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
        counts = [len(s.boxes) + len(s.unknown) for s in data.samples]
        self.starts = np.concatenate([[0], np.cumsum(counts)])  # ids of boxes run through the whole set
        parts = [(s.labels, s.confidences, len(s.unknown)) for s in data.samples]
        self.labels = np.concatenate([np.append(labels, np.full(u, -1)) for labels, _, u in parts]).astype(np.int64)
        self.confidences = np.concatenate([np.append(c, np.zeros(u)) for _, c, u in parts]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        scene = self.augmenter(self._scene, len(self), self.epoch, index, self.close)
        proposed = scene.ids == PROPOSED
        ids, labels = scene.ids[~proposed], torch.from_numpy(self.labels[scene.ids[~proposed]])
        boxes, known = torch.from_numpy(scene.boxes[~proposed]), labels >= 0
        confidences = torch.from_numpy(self.confidences[ids])[known]
        landmarks = torch.from_numpy(scene.landmarks[~proposed])[known]
        proposals = torch.from_numpy(scene.boxes[proposed])
        targets = Targets(boxes[known], labels[known], confidences, boxes[~known], landmarks, proposals)
        return torch.from_numpy(scene.pixels).permute(2, 0, 1), targets

    def _scene(self, index: int) -> Scene:
        scene = whole_scene(self.data, index, np.arange(self.starts[index], self.starts[index + 1]))
        if self.propose is None:
            return scene
        boxes = self.propose(scene.pixels)
        return Scene(
            scene.pixels,
            np.concatenate([scene.boxes, boxes]),
            np.append(scene.ids, np.full(len(boxes), PROPOSED)),
            np.concatenate([scene.landmarks, not_known(len(boxes), scene.landmarks.shape[1])]),
        )


def whole_scene(data: DetectionSet, index: int, ids: np.ndarray) -> Scene:
    """A photo as it is, possibly decoded at a reduced size, with its boxes and then its unknown boxes."""
    sample, pixels = data.samples[index], data.photo(index)
    scale = np.float32([pixels.shape[1] / sample.width, pixels.shape[0] / sample.height])
    boxes = np.concatenate([sample.boxes, sample.unknown]) * np.tile(scale, 2)
    landmarks = np.concatenate([sample.landmarks, not_known(len(sample.unknown), sample.landmarks.shape[1])]) * scale
    return Scene(pixels, boxes, ids, landmarks)


def collate(items: Sequence[tuple[Tensor, Targets]]) -> tuple[Tensor, list[Targets]]:
    """Samples -> one batch."""
    return torch.stack([pixels for pixels, _ in items]), [targets for _, targets in items]


def sizes(size: int, multi_scale: bool) -> list[int]:
    """The sizes that batches are resized to, from 0.7 of `size` on in steps of 32 pixels, or it alone."""
    return list(range(int(SMALLEST_SIZE * size) // 32 * 32, size + 1, 32)) if multi_scale and size > 32 else [size]


def resized(images: Tensor, targets: list[Targets], side: int) -> tuple[Tensor, list[Targets]]:
    """A batch of square scenes at another size."""
    scale = side / images.shape[-1]
    if scale == 1:
        return images, targets
    images = F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=False)
    return images, [target.scaled(scale) for target in targets]


def plain_batches(
    data: DetectionSet, size: int, stretch: float, batch_size: int = 16
) -> Iterator[tuple[Tensor, list[Targets]]]:
    """All photos of a set in order, unaugmented in the top left of (B, 3, size, size), as in prediction."""
    for start in range(0, len(data), batch_size):
        items = []
        for index in range(start, min(start + batch_size, len(data))):
            sample, count = data.samples[index], len(data.samples[index].boxes)
            scene = whole_scene(data, index, np.arange(count + len(data.samples[index].unknown)))
            scale = fitting_scale(*scene.pixels.shape[1::-1], size, stretch)
            canvas = np.empty((size, size, 3), np.uint8)
            scene = place(scene, canvas, scale, (0, 0), (0, 0, size, size))
            boxes, known = torch.from_numpy(scene.boxes), scene.ids < count
            kept = scene.ids[known]
            labels, confidences = torch.from_numpy(sample.labels[kept]), torch.from_numpy(sample.confidences[kept])
            landmarks = torch.from_numpy(scene.landmarks)[known]
            targets = Targets(boxes[known], labels, confidences, boxes[~known], landmarks)
            items.append((torch.from_numpy(scene.pixels).permute(2, 0, 1), targets))
        pixels, targets = collate(items)
        yield pixels.float() / 255, targets


def typical_batches(
    data: DetectionSet, size: int, stretch: float, count: int = 256, batch_size: int = 16
) -> Iterator[Tensor]:
    """Views of random photos as the network takes them, to measure activations on."""
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(data), min(count, len(data)), replace=False)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, int)
    for start in range(0, len(chosen), batch_size):
        scenes = [Scene(data.photo(i), *nothing) for i in chosen[start : start + batch_size]]
        views = [random_view(scene, View(size, stretch, (0.6, 1.4)), generator).pixels for scene in scenes]
        yield torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255
