"""What every layer of a network gives, costs and sees, by the usual formulas.

A network runs once on a black image, and every operation that it really calls is recorded. So this works for any
network whose operations with windows have a rule here; all others are taken to work on each cell by itself.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import roi_align  # noqa: F401, which registers torch.ops.torchvision

from vision_app.classification.model.network import build_network as build_classifier
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.text import aligned
from vision_app.detection.model.build import build_network as build_detector
from vision_app.detection.model.rcnn import RCNN, WARPED
from vision_app.released.find import Model
from vision_app.released.runtime import built_from

aten = torch.ops.aten
BUILDERS: Mapping[str, Callable[[Model], Any]] = {
    "detection": partial(build_detector, kind=nn.Module),
    "classification": build_classifier,
}


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


@dataclass(frozen=True)
class Layer:
    """A row of the summary, for one image.

    Attributes:
        name: The module, "" for the network itself.
        kind: The operation, e.g. "conv 3x3/2".
        output: Channels, height and width, or the shape of what is no map.
        parameters: Trained parameters: (F F C / groups + 1) K of a convolution with bias, 2 C of a batch norm; 0 of a
            layer that is used again.
        multiply_adds: Those of convolutions and matrix products, as is the custom; batch norms fold into convolutions.
        receptive_field: Height and width in input pixels; where branches meet, the largest; behind an upsampling, where
            the cells' differ, the mean; infinite for the whole input.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: tuple[float, float]


def summarize(
    network: nn.Module, height: int, width: int, run: Callable[[Any, Tensor], object] = nn.Module.__call__
) -> list[Layer]:
    """Record what a network for RGB images does to one of `height` x `width`, in the order in which it does it.

    `run` runs it on the (1, 3, height, width) image.

    Raises:
        ModelError: A layer with windows follows an operation that there is no rule for.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    image = torch.zeros(1, 3, height, width)
    recorder = _Recorder(image)
    for name, module in network.named_modules():
        module.register_forward_pre_hook(partial(recorder.enter, name))
        module.register_forward_hook(recorder.leave)
    with torch.no_grad(), recorder:
        run(network, image)
    return recorder.layers


def run_on_regions(network: RCNN, image: Tensor) -> None:
    """Run a network of the R-CNN family, all of whose regions are the whole image; R-CNN has one."""
    config, maps = network.config, network.maps(image)
    if config.kind == "faster-rcnn":
        network.rpn.head(list(maps.values()))
    whole = image.new_tensor([0, 0, image.shape[3], image.shape[2]])
    network.classify(maps, [whole.expand(1 if config.kind == "rcnn" else config.proposals, 4)])


def summarize_model(model: Model, size: int | None = None) -> tuple[int, list[Layer]]:
    """Summarize a detector or a classifier by its model.json; its weights are not read.

    Args:
        model: The model.
        size: Side of the square image; by default the model's input size, and for R-CNN, which runs on every region by
            itself, that of a warped region.

    Returns:
        The size and the layers.

    Raises:
        ModelError: There is no summary of this kind of model, or its model.json cannot be used.
        UsageError: The network takes no images of this size.
    """
    if model.task not in BUILDERS:
        raise ModelError(f"model '{model.name}' is for {model.task}, not for {' or '.join(BUILDERS)}")
    usual = model.value("input.size", int)
    with built_from(model):
        network = BUILDERS[model.task](model)
    run: Callable[[Any, Tensor], object] = nn.Module.__call__
    if isinstance(network, RCNN):
        run = run_on_regions
        usual = WARPED if network.config.kind == "rcnn" else usual
    size, step = size or usual, network.backbone.strides[-1]
    if size % step:
        nearest = max(1, round(size / step)) * step
        raise UsageError(f"--size {size}: must be a multiple of {step}; the nearest valid value is {nearest}")
    return size, summarize(network, size, size, run)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the maps through all operations."""

    def __init__(self, image: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self._inside: list[str] = []  # names of the running modules, the innermost last
        self._maps: dict[Tensor, Map] = {image: (Axis(image.shape[2]), Axis(image.shape[3]))}
        self._counted: set[Tensor] = set()

    def enter(self, name: str, *_: object) -> None:
        """Note the name of a module that starts."""
        self._inside.append(name)

    def leave(self, *_: object) -> None:
        """Note that it is done."""
        self._inside.pop()

    def __torch_dispatch__(
        self, operation: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
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
                reach = (after[0].reach, after[1].reach)
                kind = kind or str(what).removeprefix("aten.")
                self.layers.append(Layer(self._inside[-1], kind, output, parameters, multiply_adds, reach))
            self._maps |= dict.fromkeys(outputs, after)
        return result

    def _check(self, tensor: Tensor, entering: Map) -> None:
        """Compare the formulas with the tensor that enters a layer."""
        sizes = tuple(axis.size for axis in entering)
        if tensor.dim() == 4 and sizes != tensor.shape[2:]:
            expected, found = "x".join(map(str, sizes)), "x".join(map(str, tensor.shape[2:]))
            raise ModelError(
                f"cannot be summarized: {self._inside[-1]} gets a map of {found}, not {expected} cells, "
                "from an operation that the summary has no rule for"
            )

    def _new_parameters(self, tensors: list[Tensor]) -> int:
        """Return the number of parameters among an operation's tensors, without those of earlier operations."""
        owned = {tensor if tensor._base is None else tensor._base for tensor in tensors}  # a linear layer's is a view
        new = {tensor for tensor in owned if isinstance(tensor, nn.Parameter)} - self._counted
        self._counted |= new
        return sum(parameter.numel() for parameter in new)


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _both(change: Callable[..., Axis], x: Map, *values: Sequence[Any]) -> Map:
    """Return the map after a change of both axes, given the values of the height and of the width."""
    height, width = (change(*arguments) for arguments in zip(x, *values, strict=True))
    return height, width


def _join(maps: list[Map]) -> Map:
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


_RULES: dict[Any, Callable[..., Result]] = {
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
_JOINS = {aten.cat: "concat", aten.add: "add", aten.add_: "add", aten.mul: "multiply", aten.mul_: "multiply"}


def format_table(layers: list[Layer]) -> str:
    """Return the layers as lines of text with their totals."""
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
    lines = aligned([head, *rows, total], left=2)
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _field(reach: tuple[float, float]) -> str:
    height, width = ("all" if side == inf else f"{side:g}" for side in reach)
    return height if height == width else f"{height} x {width}"
