"""The fast method: one pass of a network for any style, in tiles that bound memory. Torch only where a GPU needs it."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import cv2
import numpy as np

from vision_app.core.errors import ModelError
from vision_app.released.execution import Execution
from vision_app.released.find import Model, find
from vision_app.released.names import STYLE_NETWORK
from vision_app.released.runtime import open_session, run_session
from vision_app.style import checks
from vision_app.style.stylizer import STYLE_SIZE, Output, Request, Stylizer

TASK = "style-transfer"
FAINT = 0.25  # strength below which the content itself is blended in: even its own code changes it
TILE = 1024  # pixels: side of a tile, which takes about 0.6 gigabytes


NetworkCall = Callable[..., Sequence[np.ndarray]]
"""Calls a network with batches of one, and returns its outputs."""


class FastModel:
    """The two networks of a released fast model, on images (H, W, 3) uint8 with sides of 16 pixels or more.

    Args:
        style: Network of style images.
        content: Network of content images, codes and statistics.
        runtime: "onnx" or "torch".
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, style: NetworkCall, content: NetworkCall, runtime: str, device: str):
        self._style, self._content = style, content
        self.runtime, self.device = runtime, device

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Return the code of a style, (K,) float32."""
        return np.asarray(self._style(pixels[None])[0][0])

    def stylize(self, pixels: np.ndarray, code: np.ndarray, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Render a content in the style of a code.

        Args:
            pixels: The content.
            code: (K,).
            statistics: (M,) to normalize the content with; NaN: computed from `pixels`.

        Returns:
            (H, W, 3) float32, about 0..1, and the statistics that were used.
        """
        images, used = self._content(pixels[None], code[None], statistics[None])
        return images[0], used[0]


def open_onnx(model: Model, threads: int | None = None) -> FastModel:
    """Open `style.onnx` and `model.onnx` on ONNX Runtime."""

    def network(name: str) -> NetworkCall:
        session = open_session(model.file(name), threads)
        names = [entry.name for entry in session.get_inputs()]
        return lambda *inputs: run_session(
            session, dict(zip(names, inputs, strict=True)), math.prod(inputs[0].shape[1:3]), model.name
        )

    return FastModel(network("style.onnx"), network("model.onnx"), "onnx", "cpu")


def open_torch(model: Model, execution: Execution) -> FastModel:
    """Open `weights.safetensors` on torch."""
    import torch

    from vision_app.style.model.network import PixelsToCode, PixelsToImage, open_fast

    execution.limit_threads()
    network = open_fast(model).to(execution.device).to(memory_format=torch.channels_last)

    def run(module: torch.nn.Module, *inputs: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            outputs = module(*(torch.tensor(one, device=execution.device) for one in inputs))
            return [one.cpu().numpy() for one in (outputs if isinstance(outputs, tuple) else (outputs,))]

    style, content = partial(run, PixelsToCode(network)), partial(run, PixelsToImage(network))
    return FastModel(style, content, "torch", execution.device)


class FastStylizer(Stylizer):
    """Renders images in one pass of a network, large ones in tiles; see `Stylizer`.

    A style is a code. Several styles are mixed by the mean of their codes, and strength interpolates between the
    content's own code and the style's; towards 0 the content itself is blended in. All tiles are normalized with the
    statistics of the whole image, scaled down to one tile, so that neighbors fit together.

    Raises:
        ModelError: model.json lacks something.
    """

    method = "fast"

    def __init__(self, model: Model, network: FastModel, tile: int = TILE):
        self.network, self.tile = network, tile
        self.name, self.models = model.name, (model,)
        self.runtime, self.device = network.runtime, network.device
        self.statistics: int = model.value("input.statistics", int)
        self.multiple: int = model.value("input.multiple", int)
        self.overlap: int = model.value("input.overlap", int)

    @classmethod
    def open(cls, model: str | os.PathLike[str] | None, execution: Execution) -> "FastStylizer":
        """Open a released model; errors are those of `load.load_stylizer`."""
        found = find(STYLE_NETWORK if model is None else model, TASK)
        execution = execution.resolved_for(found)
        onnx = execution.runtime == "onnx"
        return cls(found, open_onnx(found, execution.threads) if onnx else open_torch(found, execution))

    def stylize(self, content: np.ndarray, code: np.ndarray) -> np.ndarray:
        """Render a content in the style of a code.

        Args:
            content: (H, W, 3) uint8 RGB, each side `checks.SMALLEST_SIDE` or more.
            code: (K,) float32.

        Returns:
            (H, W, 3) uint8.

        Raises:
            ModelError: The network's output is not finite.
        """
        statistics = np.full(self.statistics, np.nan, np.float32)
        if max(content.shape) > self.tile:
            _, statistics = self.network.stylize(checks.at_most(content, self.tile), code, statistics)
        return in_tiles(
            content,
            lambda part: self._to_bytes(self.network.stylize(part, code, statistics)[0]),
            tile=self.tile, overlap=self.overlap, multiple=self.multiple,
        )  # fmt: skip

    def _encode(self, styles: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([self.network.encode(style) for style in styles])

    def _stylize(self, request: Request) -> Output:
        content, strength = request.content, request.options.strength
        assert request.styles.codes is not None  # they were prepared by this method
        code = np.array(request.shares, np.float32) @ request.styles.codes
        if strength < 1:
            own = self.network.encode(checks.at_most(content, STYLE_SIZE))
            code = np.float32(1 - strength) * own + np.float32(strength) * code
        result = self.stylize(content, code)
        if strength < FAINT:
            result = cv2.addWeighted(result, strength / FAINT, content, 1 - strength / FAINT, 0)
        return Output(result)

    def _to_bytes(self, image: np.ndarray) -> np.ndarray:
        if not np.isfinite(image).all():
            raise ModelError(f"model '{self.name}' produced NaN or infinity; its weights are damaged")
        np.clip(image, 0, 1, out=image)
        return np.asarray(np.rint(255 * image), np.uint8)


@dataclass(frozen=True)
class Span:
    """A range of an image's rows or columns, in pixels.

    Attributes:
        start: First pixel of the tile.
        stop: Pixel after the last of the tile.
        first: First pixel that is kept of the result, at least `start`.
        last: Pixel after the last that is kept, at most `stop`.
    """

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """Return spans that cover a length, their kept parts side by side.

    Args:
        length: Pixels, 1 or more.
        tile: Maximum length of a span, at least 2 `overlap` + `multiple`.
        overlap: Pixels of context around the kept part, as far as the image has them.
        multiple: Spans start at multiples of this.

    Returns:
        As few as possible, of equal lengths but for the last one, which may be up to `multiple` - 1 shorter.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    inner, most = length - 2 * overlap, (tile - 2 * overlap) // multiple
    count = -(-inner // (most * multiple))
    tile = 2 * overlap + multiple * -(-inner // (count * multiple))  # no longer than so many need to be
    last = -(-(length - tile) // multiple)  # where the last one starts, in multiples
    starts = [multiple * (last * k // (count - 1)) for k in range(count)]
    stops = [min(start + tile, length) for start in starts]
    # Two neighbors share at least 2 overlaps and part in the middle of what they share.
    cuts = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops, strict=False)), length]
    return [Span(*ends) for ends in zip(starts, stops, cuts, cuts[1:], strict=False)]


def in_tiles(
    pixels: np.ndarray, function: Callable[[np.ndarray], np.ndarray], *, tile: int, overlap: int, multiple: int
) -> np.ndarray:
    """Apply a function to an image tile by tile.

    Args:
        pixels: (H, W, 3) uint8.
        function: (h, w, 3) uint8 to (h, w, 3) uint8.
        tile: See `spans`.
        overlap: See `spans`.
        multiple: See `spans`.

    Returns:
        (H, W, 3) uint8, the same as in one piece where a pixel depends on none further than `overlap` away.
    """
    result = np.empty_like(pixels)
    rows, columns = (spans(length, tile, overlap, multiple) for length in pixels.shape[:2])
    for row, column in product(rows, columns):
        part = function(np.ascontiguousarray(pixels[row.start : row.stop, column.start : column.stop]))
        kept = (slice(span.first - span.start, span.last - span.start) for span in (row, column))
        result[row.first : row.last, column.first : column.last] = part[tuple(kept)]
    return result
