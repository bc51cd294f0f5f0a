"""Where the time of one picture goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stages:
    """Milliseconds by stage.

    The stages of a detector are "preprocess", "proposals", "backbone", "heads" and "nms", as far as it has them. A
    network on ONNX Runtime cannot be divided and counts as one stage, "network".
    """

    def __init__(self):
        self.times: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to the stage."""
        start = perf_counter()
        yield
        self.add(name, perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        self.times[name] = self.times.get(name, 0.0) + 1000 * seconds
