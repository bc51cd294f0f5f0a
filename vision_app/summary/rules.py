"""What operations make of a map, and what they cost, by the usual formulas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import roi_align  # noqa: F401, which registers torch.ops.torchvision

from vision_app.core.errors import ModelError

aten = torch.ops.aten


@dataclass(frozen=True)
class Axis:
    """The height or the width of a map.

    Attributes:
        size: Number of cells.
        reach: Receptive field, the input pixels that a cell depends on; infinite for the whole input.
        jump: Input pixels from a cell to the next.
    """

    size: int
    reach: float = 1
    jump: float = 1

    def slide(self, kernel: int, stride: int = 1, padding: tuple[int, int] = (0, 0), dilation: int = 1) -> "Axis":
        """Return the axis of what a sliding window gives.

        O = (I - F + P_start + P_end) / S + 1, rounded down, and R_k = R_{k-1} + (F_k - 1) S_1 ... S_{k-1}, the
        recursive form of R_k = 1 + sum_j (F_j - 1) prod_{i<j} S_i. A dilated window counts with its whole extent F.
        """
        extent = dilation * (kernel - 1) + 1
        size = (self.size - extent + sum(padding)) // stride + 1
        return Axis(size, self.reach + (extent - 1) * self.jump, self.jump * stride)

    def stretch(self, size: int, neighbors: int = 1) -> "Axis":
        """Return the axis after upsampling to `size` cells, each made from `neighbors` old ones."""
        return Axis(size, self.reach + (neighbors - 1) * self.jump, self.jump * self.size / size)


Map = tuple[Axis, Axis]  # height, width
WHOLE = Axis(1, inf)  # one cell that depends on the whole input


def _both(change: Callable[..., Axis], x: Map, *values: Sequence[Any]) -> Map:
    """Return the map after a change of both axes, given the values of the height and of the width."""
    height, width = (change(*arguments) for arguments in zip(x, *values, strict=True))
    return height, width


def join(maps: list[Map]) -> Map:
    """Return the map that depends on several: of the finest one's cells, with the largest receptive field."""

    def joined(*axes: Axis) -> Axis:
        return Axis(max(a.size for a in axes), max(a.reach for a in axes), min(a.jump for a in axes))

    return _both(joined, *maps)


# Rules: turn the map that enters and the operation's arguments into kind, multiply-adds, the map that leaves.

Result = tuple[str, int, Map]


def _convolution(
    x: Map, tensor: Tensor, weight: Tensor, bias: Tensor | None, strides: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Result:  # fmt: skip
    if transposed:
        raise ModelError("cannot be summarized: there is no rule for transposed convolutions")
    inputs, *kernel = weight.shape[1:]  # inputs of a group
    after = _both(Axis.slide, x, kernel, strides, [(p, p) for p in padding], dilation)
    kind = "conv" if groups == 1 else "depthwise" if inputs == 1 else f"conv of {groups} groups"
    multiply_adds = weight.numel() * after[0].size * after[1].size  # F F C / groups for each of K O O outputs
    return f"{kind} {_window(kernel, strides)}", multiply_adds, after


def _pool(
    kind: str, x: Map, tensor: Tensor, kernel: Sequence[int], strides: Sequence[int] = (),
    padding: Sequence[int] = (0, 0), *rest: object,
) -> Result:  # fmt: skip
    strides = strides or kernel
    return f"{kind} {_window(kernel, strides)}", 0, _both(Axis.slide, x, kernel, strides, [(p, p) for p in padding])


def _window(kernel: Sequence[int], strides: Sequence[int]) -> str:
    """Return a text such as "3x3/2"."""
    return f"{kernel[0]}x{kernel[1]}" + (f"/{strides[0]}" if strides[0] > 1 else "")


def _upsample(neighbors: int, x: Map, tensor: Tensor, size: Sequence[int], *scales: object) -> Result:
    return "upsample", 0, _both(Axis.stretch, x, size, [neighbors] * 2)


def _mean(x: Map, tensor: Tensor, dimensions: Sequence[int] | None = None, *rest: object) -> Result:
    if tensor.dim() == 4:
        over = range(4) if dimensions is None else {d % 4 for d in dimensions}
        x = (WHOLE if 2 in over else x[0], WHOLE if 3 in over else x[1])
    return "mean", 0, x


def _product(x: Map, left: Tensor, right: Tensor) -> Result:
    """(R, N_in) and (N_in, N_out); a single row holds the whole map."""
    return "linear", left.numel() * right.shape[1], (WHOLE, WHOLE) if len(left) == 1 else x


RULES: dict[Any, Callable[..., Result]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: partial(_pool, "max pool"),
    aten.avg_pool2d: partial(_pool, "average pool"),
    aten.upsample_nearest2d: partial(_upsample, 1),
    aten.upsample_bilinear2d: partial(_upsample, 2),
    aten.mean: _mean,
    aten.mm: _product,
    aten.addmm: lambda x, bias, left, right: _product(x, left, right),
    aten.native_batch_norm: lambda x, *_: ("batch norm", 0, x),
    torch.ops.torchvision.roi_align: lambda x, *_: ("", 0, (WHOLE, WHOLE)),  # the region is the whole image here
}
JOINS = {aten.cat: "concat", aten.add: "add", aten.add_: "add", aten.mul: "multiply", aten.mul_: "multiply"}
