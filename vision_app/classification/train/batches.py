"""Images as the classifier learns from them: augmented, each with the probability that each class is there."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vision_app.data.presence import presence
from vision_app.data.samples import DetectionSet
from vision_app.training.augment import Augmenter, whole_scene


class PresenceDataset(Dataset[tuple[Tensor, Tensor]]):
    """The augmented images of one epoch, (3, size, size) uint8 each with its `presence`, decoded on demand.

    Args:
        data: The images.
        augmenter: Without mosaic, whose many small images have little in common with one.
        epoch: Counted from 0.
        taught: See `presence`.
    """

    def __init__(self, data: DetectionSet, augmenter: Augmenter, epoch: int, taught: bool):
        self.data, self.augmenter, self.epoch, self.taught = data, augmenter, epoch, taught

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.data.samples[index]
        scene = self.augmenter(lambda _: whole_scene(self.data, index), len(self), self.epoch, index, True)
        target = presence(sample, len(self.data.classes), visible=scene.boxes, taught=self.taught)
        return torch.from_numpy(scene.pixels).permute(2, 0, 1), torch.from_numpy(target)
