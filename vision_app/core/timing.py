"""Where the time of one picture goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any


def timed(model, image) -> tuple[Any, "Stages"]:
    """`preprocess` and `forward` of one picture, and the time that they take.

    Args:
        model: a detector or a classifier.
        image: an `RGBImage`.
    """
    stages = Stages(model.device)
    with stages.stage("preprocess"):
        inputs = model.preprocess([image])
    return model.forward(inputs, stages), stages


class Stages:
    """Milliseconds by stage.

    The stages of a detector are "preprocess", "proposals", "backbone", "heads" and "nms", as far as it has them. A
    network on ONNX Runtime cannot be divided and counts as one stage, "network".

    Args:
        device: where the stages run; a GPU is waited for before the clock is read.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        self.times: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to the stage."""
        start = self._now()
        yield
        self.times[name] = self.times.get(name, 0.0) + 1000 * (self._now() - start)

    def _now(self) -> float:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize(self.device)
        return perf_counter()
