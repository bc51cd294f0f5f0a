"""The fast method: one pass of a network that paints any content in any style. Torch only where a GPU needs it."""

import os
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from vision_app.core.errors import ModelError
from vision_app.released.find import Model, find
from vision_app.released.runtime import Execution, open_session
from vision_app.style import checks
from vision_app.style.stylizer import STYLE_SIZE, Painted, Stylizer
from vision_app.style.tiles import in_tiles

TASK = "style-transfer"
FAINT = 0.25  # strength below which the content itself is mixed in: its own code repaints it, too
TILE = 1024  # pixels: side of what is painted at a time, which takes about half a gigabyte


class FastModel(Protocol):
    """The two calls of a released fast network, on pictures (H, W, 3) uint8 of 16 pixels a side or more.

    `runtime` and `device` say where it runs.
    """

    runtime: str
    device: str

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """The code of a style, (K,) float32."""

    def paint(self, pixels: np.ndarray, code: np.ndarray, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paints a content.

        Args:
            code: (K,).
            statistics: (M,) to normalize the content with; not a number where they are to be taken from `pixels`.

        Returns:
            (H, W, 3) float32, 0..1 but for a little, and the statistics that were used.
        """


class OnnxFast:
    """`style.onnx` and `model.onnx` on ONNX Runtime; see `FastModel`."""

    runtime, device = "onnx", "cpu"

    def __init__(self, model: Model, threads: int | None):
        self._style, self._content = (open_session(model.file(name), threads) for name in ("style.onnx", "model.onnx"))

    def encode(self, pixels):
        return self._style.run(None, {"pixels": pixels[None]})[0][0]

    def paint(self, pixels, code, statistics):
        inputs = {"pixels": pixels[None], "code": code[None], "statistics": statistics[None]}
        picture, used = self._content.run(None, inputs)
        return picture[0], used[0]


class TorchFast:
    """`weights.safetensors` on torch; see `FastModel`."""

    runtime = "torch"

    def __init__(self, model: Model, execution: Execution):
        import torch

        from vision_app.style.model.network import ContentInput, StyleInput, open_fast

        execution.limit_threads()
        self._torch, self.device = torch, execution.device
        network = open_fast(model).to(self.device, memory_format=torch.channels_last)
        self._style, self._content = StyleInput(network), ContentInput(network)

    def encode(self, pixels):
        return self._run(self._style, pixels)[0]

    def paint(self, pixels, code, statistics):
        return self._run(self._content, pixels, code, statistics)

    def _run(self, module, *inputs: np.ndarray) -> list[np.ndarray]:
        """Calls a module with batches of one."""
        with self._torch.inference_mode():
            outputs = module(*(self._torch.tensor(one, device=self.device)[None] for one in inputs))
            return [one[0].cpu().numpy() for one in (outputs if isinstance(outputs, tuple) else (outputs,))]


class FastStylizer(Stylizer):
    """Repaints pictures by one pass of a network, large ones in tiles; see `Stylizer`.

    A style is a code. Several styles are mixed by the mean of their codes, and strength lies between the content's own
    code and the style's; towards 0 the content itself is mixed in. All tiles are normalized with the statistics of the
    whole picture, as they are after it was scaled down to one tile, so that neighbors fit together.

    Raises:
        ModelError: model.json lacks something.
    """

    method = "fast"

    def __init__(self, model: Model, network: FastModel, tile: int = TILE):
        self.network, self.tile = network, tile
        self.name, self.models = model.name, (model,)
        self.runtime, self.device = network.runtime, network.device
        self.statistics = model.value("input.statistics", int)
        self.multiple, self.overlap = model.value("input.multiple", int), model.value("input.overlap", int)

    @classmethod
    def open(cls, model: str | os.PathLike[str] | None, execution: Execution) -> "FastStylizer":
        """Open a released model; errors are those of `load.load_stylizer`."""
        found = find(model or "style-fast", TASK)
        if found.task != TASK:
            raise ModelError(f"model '{found.name}' is for {found.task}, not for {TASK}")
        execution = execution.resolved_for(found)
        onnx = execution.runtime == "onnx"
        return cls(found, OnnxFast(found, execution.threads) if onnx else TorchFast(found, execution))

    def paint(self, content: np.ndarray, code: np.ndarray) -> np.ndarray:
        """Paints a content in the style of a code.

        Args:
            content: (H, W, 3) uint8 RGB, each side `checks.SMALLEST_SIDE` or more.
            code: (K,) float32.

        Returns:
            (H, W, 3) uint8.

        Raises:
            ModelError: the network gives something else than a picture.
        """
        statistics = np.full(self.statistics, np.nan, np.float32)
        if max(content.shape) > self.tile:
            _, statistics = self.network.paint(checks.at_most(content, self.tile), code, statistics)
        return in_tiles(
            content,
            lambda part: self._to_bytes(self.network.paint(part, code, statistics)[0]),
            tile=self.tile, overlap=self.overlap, multiple=self.multiple,
        )  # fmt: skip

    def _codes(self, styles: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([self.network.encode(style) for style in styles])

    def _paint(self, content, styles, shares, options, report, state) -> Painted:
        code = np.float32(shares) @ styles.codes
        if options.strength < 1:
            own = self.network.encode(checks.at_most(content, STYLE_SIZE))
            code = np.float32(1 - options.strength) * own + np.float32(options.strength) * code
        painted = self.paint(content, code)
        if options.strength < FAINT:
            painted = cv2.addWeighted(painted, options.strength / FAINT, content, 1 - options.strength / FAINT, 0)
        return Painted(painted, {})

    def _to_bytes(self, picture: np.ndarray) -> np.ndarray:
        if not np.isfinite(picture).all():
            raise ModelError(f"model '{self.name}' gives no picture but numbers out of range; its weights are damaged")
        np.clip(picture, 0, 1, out=picture)
        return np.uint8(np.rint(255 * picture))
