"""Methods to stylize an image behind one interface: ours, and MicroAST (Wang et al., AAAI 2023) as published.

MicroAST's networks fit into ours, so that on ONNX Runtime both run with the same code. VGG-19 (Simonyan and
Zisserman, 2015) fits into our encoder; its weights are random, since only its cost matters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vision_app import Stylizer

Clock = Callable[[], float]
"""Returns seconds since some fixed moment."""


class Method(Protocol):
    """Stylizes (H, W, 3) uint8 images; the result of `prepare` for a style is used for any number of contents."""

    def prepare(self, style: np.ndarray) -> Any: ...

    def stylize(self, content: np.ndarray, prepared: Any) -> np.ndarray: ...


def stylize(method: Method, content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Stylize a content in a new style."""
    return method.stylize(content, method.prepare(style))


@dataclass(frozen=True)
class Contestant:
    """A method to measure, which can be sent to another process.

    Attributes:
        name: Name in the table.
        runtime: What its networks run on, "" without one.
        load: Makes it ready.
    """

    name: str
    runtime: str
    load: Callable[[], Method]


def contestants(
    teachers: Path, micro_ast_model: Path, *, model: str, encoder: str, iterations: int | None, threads: int
) -> dict[str, Contestant]:
    """Return all methods by the names of --methods.

    Args:
        teachers: Folder of MicroAST's files.
        micro_ast_model: Output of `write_micro_ast`.
        model: Our network for any style, by name or path.
        encoder: Encoder of the classic method, by name or path.
        iterations: Of the classic method.
        threads: Of networks.
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
        """Take the iterations of the classic method and more options of `Stylizer.load`."""
        self._changes = {"iterations": iterations}
        self._stylizer = Stylizer.load(method, device="cpu", threads=threads, **loading)

    def prepare(self, style: np.ndarray) -> Any:
        return self._stylizer.prepare([style])

    def stylize(self, content: np.ndarray, prepared: Any) -> np.ndarray:
        size = max(content.shape)  # the classic method reduces large images unless it is told not to
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

    def stylize(self, content: np.ndarray, prepared: Any) -> np.ndarray:
        with self._torch.inference_mode():
            (image,), _ = self._network.stylize(self._tensor(content), prepared)
            return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()

    def _tensor(self, pixels: np.ndarray) -> Any:
        """Convert (H, W, 3) uint8 to (1, 3, H, W) in 0..1."""
        return self._torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def write_micro_ast(teachers: Path, folder: Path) -> None:
    """Write the published networks as a model folder, whose files ONNX Runtime can run."""
    from convert_style_weights import micro_ast

    from vision_app.style.train.export import write_fast

    write_fast(micro_ast(teachers), folder, name="MicroAST", license="MIT")


class Classic:
    """The classic method, iteration by iteration."""

    def __init__(self, encoder: str | None, threads: int):
        """Take an encoder by name or path, or VGG-19 with random weights."""
        import torch

        from vision_app.style.model.features import VGG19, EncoderNetwork, load_encoder

        torch.set_num_threads(threads)
        self._encoder = load_encoder(encoder) if encoder else EncoderNetwork(VGG19).eval().requires_grad_(False)
        self._encoder.to(memory_format=torch.channels_last)

    def iterate(self, content: np.ndarray, style: np.ndarray, clock: Clock) -> float:
        """Return the seconds of the second iteration at the content's size: the first has no step before it."""
        from vision_app.style.optimize.loop import optimize
        from vision_app.style.options import OptimizeConfig

        moments = []
        config = OptimizeConfig(iterations=2)
        optimize(content, [style], self._encoder, config, report=lambda _: moments.append(clock()))
        return moments[1] - moments[0]
