"""A training task that takes milliseconds, for the tests of the loop."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vision_app.training.config import TrainConfig
from vision_app.training.loop import fit

BATCHES = 3
CONFIG = TrainConfig(epochs=4, batch_size=2, learning_rate=0.05, validate_every=2, precision="fp32")


class TinyTask:
    """Learns a fixed target from images of noise.

    Attributes:
        scores: what each epoch's network is measured at.
        before: called with the step's index before its batch is made.
        spoil: changes the loss, given it and the epoch.
    """

    def __init__(
        self, scores=(0.1, 0.2, 0.3, 0.4), before=lambda index: None, spoil=lambda loss, epoch: loss, drop=0.2
    ):
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.SiLU(), nn.Dropout(drop), nn.Conv2d(4, 2, 1)
        )
        self.scores, self.before, self.spoil = list(scores), before, spoil
        self.epoch, self.modes = 0, []

    def batches_per_epoch(self, config):
        return BATCHES

    def batches(self, config, epoch, *, rank=0, world=1, start=0):
        self.epoch = epoch
        first, end = rank * config.batch_size // world, (rank + 1) * config.batch_size // world
        for i in range(start, BATCHES):
            self.before(epoch * BATCHES + i)
            generator = torch.Generator().manual_seed(config.seed * 1000 + epoch * BATCHES + i)
            images = torch.rand(config.batch_size, 3, 6, 6, generator=generator)
            targets = epoch + torch.arange(1.0, 1.0 + config.batch_size)
            yield images[first:end], targets[first:end]

    def loss(self, images, output, targets):
        """Samples with a target above 3 have three positives, so that batches and their parts differ in number."""
        loss = (output.mean(dim=(2, 3)) - targets[:, None]).square().sum()
        positives = (1 + 2 * (targets > 3)).sum().float()
        return self.spoil(loss, self.epoch), positives, {"size": images.abs().mean(dim=(1, 2, 3)).sum()}

    def release(self, network, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, folder / "weights.safetensors")
        self.modes.append(network.training)
        return {"AP": self.scores[self.epoch], "other": -self.scores[self.epoch]}


def run(folder: Path, task=None, config=CONFIG, **options):
    """Trains and returns the best metrics and the weights."""
    task = task or TinyTask()
    return fit(task, config, folder, **{"log": lambda line: None} | options), task.network.state_dict()


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
