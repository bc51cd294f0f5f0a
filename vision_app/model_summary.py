"""What every layer of a network gives, costs and sees, by the formulas of the trade.

A network runs once on a black picture, and every operation that it really calls is noted. So this works for any network
whose operations with windows have a rule here; all others are taken to work on each cell by itself.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import inf

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import roi_align  # noqa: F401, which registers torch.ops.torchvision

from vision_app.core.errors import ModelError, UsageError
from vision_app.detection.model.yolo import YOLOConfig
from vision_app.released.find import Model

aten = torch.ops.aten

REGIONS = ("rcnn", "fast-rcnn", "faster-rcnn")
# The module of each other kind of architecture, loaded on use.
NETWORKS = {
    "yolo": "vision_app.detection.model.yolo:YOLO",
    "classifier": "vision_app.classification.model.network:ClassifierNetwork",
}


@dataclass(frozen=True)
class Axis:
    """The height or the width of a map.

    Attributes:
        size: number of cells.
        reach: receptive field, the input pixels that a cell depends on; infinite for the whole input.
        jump: input pixels from a cell to the next.
    """

    size: int
    reach: float = 1
    jump: float = 1

    def slide(self, kernel: int, stride: int = 1, padding: tuple[int, int] = (0, 0), dilation: int = 1) -> "Axis":
        """The axis of what a sliding window gives.

        O = (I - F + P_start + P_end) / S + 1, rounded down, and R_k = R_{k-1} + (F_k - 1) S_1 ... S_{k-1}, the
        recursive form of R_k = 1 + sum_j (F_j - 1) prod_{i<j} S_i. A dilated window counts with its whole extent F.
        """
        extent = dilation * (kernel - 1) + 1
        size = (self.size - extent + sum(padding)) // stride + 1
        return Axis(size, self.reach + (extent - 1) * self.jump, self.jump * stride)

    def stretch(self, size: int, neighbors: int = 1) -> "Axis":
        """The axis after upsampling to `size` cells, each made from `neighbors` old ones."""
        return Axis(size, self.reach + (neighbors - 1) * self.jump, self.jump * self.size / size)


Map = tuple[Axis, Axis]  # height, width
WHOLE = Axis(1, inf)  # one cell that depends on the whole input


@dataclass(frozen=True)
class Layer:
    """A row of the summary, for one picture.

    Attributes:
        name: the module that does it, "" for the network itself.
        kind: what it does, e.g. "conv 3x3/2".
        output: channels, height and width, or the shape of what is no map.
        parameters: trained numbers: (F F C / groups + 1) K of a convolution with bias, 2 C of a batch norm; of a layer
            that is used again 0.
        multiply_adds: of convolutions and matrix products, as is the custom; batch norms fold into convolutions.
        receptive_field: height and width in input pixels; where branches meet, the largest; behind an upsampling, where
            cells see differently far, the mean; infinite for the whole input.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: tuple[float, float]


def summarize(
    network: nn.Module, height: int, width: int, run: Callable[[nn.Module, Tensor], object] = nn.Module.__call__
) -> list[Layer]:
    """Notes what a network for RGB pictures does to one of `height` x `width`, in the order in which it does it.

    Args:
        run: has the network look at the (1, 3, height, width) picture.

    Raises:
        ModelError: a layer with windows follows an operation that there is no rule for.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    picture = torch.zeros(1, 3, height, width)
    recorder = _Recorder(picture)
    for name, module in network.named_modules():
        module.register_forward_pre_hook(partial(recorder.enter, name))
        module.register_forward_hook(recorder.leave)
    with torch.no_grad(), recorder:
        run(network, picture)
    return recorder.layers


def look_at_regions(network: nn.Module, picture: Tensor) -> None:
    """Runs a network of the R-CNN family, all of whose regions are the whole picture; R-CNN has one."""
    config, maps = network.config, network.maps(picture)
    if config.kind == "faster-rcnn":
        network.rpn.head(list(maps.values()))
    whole = picture.new_tensor([0, 0, picture.shape[3], picture.shape[2]])
    network.classify(maps, [whole.expand(1 if config.kind == "rcnn" else config.proposals, 4)])


def summarize_model(model: Model, size: int | None = None) -> tuple[int, list[Layer]]:
    """Summarizes a detector or a classifier by its model.json; its weights are not read.

    Args:
        size: side of the square picture; by default the model's input size, and for R-CNN, which runs on every region
            by itself, that of a warped region.

    Returns:
        The size and the layers.

    Raises:
        ModelError: there is no summary of this kind of model, or its model.json cannot be used.
        UsageError: the network takes no pictures of this size.
    """
    if model.task not in ("detection", "classification"):
        raise ModelError(f"model '{model.name}' is for {model.task}, not for detection or classification")
    kind, usual = model.info["architecture"].get("type"), model.value("input.size", int)
    run = nn.Module.__call__
    try:
        if kind in REGIONS:
            from vision_app.detection.model.rcnn import RCNN, WARPED, RCNNConfig

            network, run = RCNN(RCNNConfig.from_dict(model.info["architecture"])), look_at_regions
            usual = WARPED if kind == "rcnn" else usual
        elif kind in NETWORKS:
            module, name = NETWORKS[kind].split(":")
            network = getattr(import_module(module), name)(YOLOConfig.from_dict(model.info["architecture"]))
        else:
            known = ", ".join((*NETWORKS, *REGIONS))
            raise ModelError(f"model '{model.name}': there is a summary of {known}, not of {kind}")
    except (KeyError, TypeError, ValueError) as error:
        raise model.lacks("architecture") from error
    size, step = size or usual, network.backbone.strides[-1]
    if size % step:
        nearest = max(1, round(size / step)) * step
        raise UsageError(f"--size {size}: must be a multiple of {step}; the nearest valid value is {nearest}")
    return size, summarize(network, size, size, run)


class _Recorder(TorchDispatchMode):
    """Follows the maps through all operations."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.layers: list[Layer] = []
        self._inside: list[str] = []  # names of the modules that are at work, the innermost last
        self._maps: dict[Tensor, Map] = {picture: tuple(map(Axis, picture.shape[2:]))}
        self._counted: set[Tensor] = set()

    def enter(self, name: str, *_) -> None:
        """A hook to be called before the module of that name works."""
        self._inside.append(name)

    def leave(self, *_) -> None:
        """A hook to be called after it."""
        self._inside.pop()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        tensors, outputs = _tensors((args, kwargs)), _tensors(result)
        maps = [self._maps[tensor] for tensor in tensors if tensor in self._maps]
        if maps:
            what = operation.overloadpacket
            kind, multiply_adds, after = "", 0, _join(maps)
            if what in _RULES:
                self._check(tensors[0], after)
                kind, multiply_adds, after = _RULES[what](after, *args)
            elif len(maps) > 1:
                kind = _JOINS.get(what, "")
            parameters = self._new_parameters(tensors)
            if kind or parameters:
                shape = tuple(outputs[0].shape)
                shape = shape[1:] if shape[0] == 1 else shape  # without the batch
                output = (shape[0], *(axis.size for axis in after)) if outputs[0].dim() == 4 else shape
                reach = tuple(axis.reach for axis in after)
                kind = kind or str(what).removeprefix("aten.")
                self.layers.append(Layer(self._inside[-1], kind, output, parameters, multiply_adds, reach))
            self._maps |= dict.fromkeys(outputs, after)
        return result

    def _check(self, tensor: Tensor, entering: Map) -> None:
        """Holds the formulas to the tensor that enters a layer."""
        sizes = tuple(axis.size for axis in entering)
        if tensor.dim() == 4 and sizes != tensor.shape[2:]:
            expected, found = "x".join(map(str, sizes)), "x".join(map(str, tensor.shape[2:]))
            raise ModelError(
                f"cannot be summarized: {self._inside[-1]} gets a map of {found} and not {expected} cells, "
                "from an operation that the summary has no rule for"
            )

    def _new_parameters(self, tensors: list[Tensor]) -> int:
        """The number of parameters among an operation's tensors, without those of earlier operations."""
        owned = {tensor if tensor._base is None else tensor._base for tensor in tensors}  # a linear layer's is a view
        new = {tensor for tensor in owned if isinstance(tensor, nn.Parameter)} - self._counted
        self._counted |= new
        return sum(parameter.numel() for parameter in new)


def _tensors(values) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _join(maps: list[Map]) -> Map:
    """The map that depends on several: of the finest one's cells, with the largest receptive field."""
    return tuple(
        Axis(max(a.size for a in axes), max(a.reach for a in axes), min(a.jump for a in axes))
        for axes in zip(*maps, strict=True)
    )


# Rules: the map that enters and the operation's arguments -> kind, multiply-adds, the map that leaves.


def _convolution(x: Map, tensor, weight, bias, strides, padding, dilation, transposed, output_padding, groups):
    if transposed:
        raise ModelError("cannot be summarized: there is no rule for transposed convolutions")
    inputs, *kernel = weight.shape[1:]  # inputs of a group
    after = tuple(
        axis.slide(f, s, (p, p), d) for axis, f, s, p, d in zip(x, kernel, strides, padding, dilation, strict=True)
    )
    kind = "conv" if groups == 1 else "depthwise" if inputs == 1 else f"conv of {groups} groups"
    multiply_adds = weight.numel() * after[0].size * after[1].size  # F F C / groups for each of K O O outputs
    return f"{kind} {_window(kernel, strides)}", multiply_adds, after


def _pool(kind: str, x: Map, tensor, kernel, strides=(), padding=(0, 0), *rest):
    strides = strides or kernel
    after = tuple(axis.slide(f, s, (p, p)) for axis, f, s, p in zip(x, kernel, strides, padding, strict=True))
    return f"{kind} {_window(kernel, strides)}", 0, after


def _max_pool(x: Map, *args):
    return _pool("max pool", x, *args)


def _average_pool(x: Map, *args):
    return _pool("average pool", x, *args)


def _window(kernel, strides) -> str:
    """`3x3/2`."""
    return f"{kernel[0]}x{kernel[1]}" + (f"/{strides[0]}" if strides[0] > 1 else "")


def _nearest(x: Map, tensor, size, *scales):
    return "upsample", 0, tuple(axis.stretch(n) for axis, n in zip(x, size, strict=True))


def _bilinear(x: Map, tensor, size, *scales):
    return "upsample", 0, tuple(axis.stretch(n, neighbors=2) for axis, n in zip(x, size, strict=True))


def _mean(x: Map, tensor, dimensions=None, *rest):
    if tensor.dim() == 4:
        over = range(4) if dimensions is None else {d % 4 for d in dimensions}
        x = tuple(WHOLE if 2 + i in over else axis for i, axis in enumerate(x))
    return "mean", 0, x


def _product(x: Map, left, right):
    """(R, N_in) and (N_in, N_out); a single row holds the whole map."""
    return "linear", left.numel() * right.shape[1], (WHOLE, WHOLE) if len(left) == 1 else x


def _linear(x: Map, bias, left, right):
    return _product(x, left, right)


def _norm(x: Map, *args):
    return "batch norm", 0, x


def _region(x: Map, *args):
    return "", 0, (WHOLE, WHOLE)  # which is the whole picture here


_RULES = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.avg_pool2d: _average_pool,
    aten.upsample_nearest2d: _nearest,
    aten.upsample_bilinear2d: _bilinear,
    aten.mean: _mean,
    aten.mm: _product,
    aten.addmm: _linear,
    aten.native_batch_norm: _norm,
    torch.ops.torchvision.roi_align: _region,
}
_JOINS = {aten.cat: "concat", aten.add: "add", aten.add_: "add", aten.mul: "multiply", aten.mul_: "multiply"}


def format_table(layers: list[Layer]) -> str:
    """The layers as lines of text with their totals."""
    head = ("layer", "operation", "output", "parameters", "multiply-adds", "receptive field")
    rows = [
        (
            layer.name or "network",
            layer.kind,
            " x ".join(map(str, layer.output)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
            _field(layer.receptive_field),
        )
        for layer in layers
    ]
    parameters, multiply_adds = sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers)
    total = ("total", "", "", f"{parameters:,}", f"{multiply_adds:,}", "")
    widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
    lines = [_line(row, widths) for row in (head, *rows, total)]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    names, numbers = row[:2], row[2:]
    cells = [text.ljust(width) for text, width in zip(names, widths, strict=False)]
    return "  ".join(cells + [text.rjust(width) for text, width in zip(numbers, widths[2:], strict=True)]).rstrip()


def _field(reach: tuple[float, float]) -> str:
    height, width = ("all" if side == inf else f"{side:g}" for side in reach)
    return height if height == width else f"{height} x {width}"
