"""Ways to repaint a picture behind one interface: ours, and MicroAST (Wang et al., AAAI 2023) as it was published.

MicroAST's networks fit into ours, so that on ONNX Runtime both are run by the same code. VGG-19 (Simonyan and
Zisserman, 2015) fits into our encoder; its weights are random, since only its cost is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vision_app import Stylizer

Clock = Callable[[], float]
"""Gives seconds, since whenever."""


class Painter(Protocol):
    """Repaints (H, W, 3) uint8 pictures; what `prepare` gives of a style is used for any number of contents."""

    def prepare(self, style: np.ndarray) -> Any: ...

    def paint(self, content: np.ndarray, prepared: Any) -> np.ndarray: ...


def repaint(painter: Painter, content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Repaints a content in a style that is new."""
    return painter.paint(content, painter.prepare(style))


@dataclass(frozen=True)
class Contestant:
    """A method to measure, which can be sent to another process.

    Attributes:
        name: what the table calls it.
        runtime: what its networks run on, "" without one.
        load: makes it ready.
    """

    name: str
    runtime: str
    load: Callable[[], Painter]


def contestants(
    teachers: Path, micro_ast_model: Path, *, model: str, encoder: str, iterations: int | None, threads: int
) -> dict[str, Contestant]:
    """Everybody who repaints, by the names of --methods.

    Args:
        teachers: folder of MicroAST's files.
        micro_ast_model: what `write_micro_ast` makes of them.
        model: our network for any style, by name or path.
        encoder: what the classic method sees with, by name or path.
        iterations: of the classic method.
        threads: of networks.
    """
    torch, onnx = "torch", "ONNX Runtime"
    return {
        "fast": Contestant("fast", onnx, partial(Ours, "fast", threads, model=model)),
        "micro-ast": Contestant("MicroAST", torch, partial(MicroAST, teachers, threads)),
        "micro-ast-onnx": Contestant("MicroAST", onnx, partial(Ours, "fast", threads, model=str(micro_ast_model))),
        "color": Contestant("color", "NumPy", partial(Ours, "color", threads)),
        "optimize": Contestant(
            "optimize", torch, partial(Ours, "optimize", threads, encoder=encoder, iterations=iterations)
        ),
    }


class Ours:
    """A method of this project on a CPU."""

    def __init__(self, method: str, threads: int, *, iterations: int | None = None, **loading: str):
        """Takes iterations of the classic method, and what else `Stylizer.load` needs to know."""
        self._changes = {"iterations": iterations}
        self._stylizer = Stylizer.load(method, device="cpu", threads=threads, **loading)

    def prepare(self, style: np.ndarray) -> Any:
        return self._stylizer.prepare([style])

    def paint(self, content: np.ndarray, prepared: Any) -> np.ndarray:
        size = max(content.shape)  # the classic method makes smaller pictures of large ones unless it is told not to
        return self._stylizer(content, prepared, size=size, **self._changes).pixels


class MicroAST:
    """The published networks on torch."""

    def __init__(self, folder: Path, threads: int):
        import torch
        from convert_style_weights import micro_ast

        torch.set_num_threads(threads)
        self._torch, self._network = torch, micro_ast(folder).eval()

    def prepare(self, style: np.ndarray) -> Any:
        with self._torch.inference_mode():
            return self._network.encode(self._tensor(style))

    def paint(self, content: np.ndarray, prepared: Any) -> np.ndarray:
        with self._torch.inference_mode():
            (picture,), _ = self._network.stylize(self._tensor(content), prepared)
            return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()

    def _tensor(self, pixels: np.ndarray) -> Any:
        """(H, W, 3) uint8 -> (1, 3, H, W) in 0..1."""
        return self._torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def write_micro_ast(teachers: Path, folder: Path) -> None:
    """Writes the published networks as a model folder, whose files ONNX Runtime can run."""
    from convert_style_weights import micro_ast

    from vision_app.style.train.export import write_fast

    write_fast(micro_ast(teachers), folder, name="MicroAST", license="MIT")


class Classic:
    """The classic method, iteration by iteration."""

    def __init__(self, encoder: str | None, threads: int):
        """Takes an encoder by name or path, or VGG-19 with random weights."""
        import torch

        from vision_app.style.model.features import VGG19, EncoderNetwork, load_encoder

        torch.set_num_threads(threads)
        self._encoder = load_encoder(encoder) if encoder else EncoderNetwork(VGG19).eval().requires_grad_(False)
        self._encoder.to(memory_format=torch.channels_last)

    def iterate(self, content: np.ndarray, style: np.ndarray, clock: Clock) -> float:
        """Seconds of one iteration at the content's size, the second one: the first has no step behind it yet."""
        from vision_app.style.optimize.loop import optimize
        from vision_app.style.options import OptimizeConfig

        moments = []
        config = OptimizeConfig(iterations=2)
        optimize(content, [style], self._encoder, config, report=lambda _: moments.append(clock()))
        return moments[1] - moments[0]
