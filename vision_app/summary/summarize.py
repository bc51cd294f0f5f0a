"""What every layer of a network gives, costs and sees, by the usual formulas.

A network runs once on a black image, and every operation that it really calls is recorded. So this works for any
network whose operations with windows have a rule here; all others are taken to work on each cell by itself.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vision_app.classification.model.network import build_network as build_classifier
from vision_app.core.errors import ModelError, UsageError
from vision_app.detection.model.build import build_network as build_detector
from vision_app.detection.model.rcnn import RCNN, WARPED
from vision_app.released.find import Model
from vision_app.released.runtime import built_from
from vision_app.summary.rules import JOINS, RULES, Axis, Map, join
from vision_app.summary.table import Layer

BUILDERS: Mapping[str, Callable[[Model], Any]] = {
    "detection": partial(build_detector, kind=nn.Module),
    "classification": build_classifier,
}


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
            kind, multiply_adds, after = "", 0, join(maps)
            if what in RULES:
                self._check(tensors[0], after)
                kind, multiply_adds, after = RULES[what](after, *args)
            elif len(maps) > 1:
                kind = JOINS.get(what, "")
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
