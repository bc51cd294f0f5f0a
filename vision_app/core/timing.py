"""Where the time of one image goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol


class Timed(Protocol):
    """A model whose steps can be timed."""

    device: str

    def preprocess(self, images: Any) -> Any:
        """Turn images into inputs."""

    def forward(self, inputs: Any, stages: "Stages | None" = None) -> Any:
        """Run the network."""


class Stages:
    """Milliseconds by stage.

    A network on ONNX Runtime cannot be divided and counts as one stage, "network".

    Args:
        device: Where the stages run; a GPU is waited for before the clock is read.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        self.times: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to the stage."""
        start = self._now()
        yield
        self.times[name] = self.times.get(name, 0.0) + 1000 * (self._now() - start)

    def _now(self) -> float:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize(self.device)
        return perf_counter()


def timed(model: Timed, image: Any) -> tuple[Any, Stages]:
    """Return what `preprocess` and `forward` make of an `RGBImage`, and the time that they take."""
    stages = Stages(model.device)
    with stages.stage("preprocess"):
        inputs = model.preprocess([image])
    return model.forward(inputs, stages), stages
