"""Start our networks from published weights (both Apache-2.0, trained on COCO).

YOLOX-Nano (Megvii) fits the CSP backbone, its neck and the decoupled head; PicoDet-S (PaddlePaddle) fits the shuffle
backbone, its neck and the distribution head. Both predict one box per cell without anchors. Every anchor of ours starts
as a copy of that box, so the network starts with the same predictions.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_app.core.errors import ModelError
from vision_app.detection.model.blocks import ConvUnit
from vision_app.detection.model.heads import DistributionHead
from vision_app.detection.model.yolo import YOLO

CERTAIN = 8.0  # logit of a p_c that is 1 in effect
DEVIATION = (0.229, 0.224, 0.225)  # of ImageNet's pixels, RGB in 0..1

_BRANCH = {"cls_convs": "class_branch", "reg_convs": "box_branch", "stems": "stem"}
_PREDICTION = {"cls_preds": "class_logits", "obj_preds": "objectness", "reg_preds": "offsets"}
_RULES: list[tuple[str, Any]] = [  # the checkpoint's names -> ours, applied in this order
    (r"^backbone\.backbone\.stem\.conv\.", "backbone.stem."),
    (r"^backbone\.backbone\.dark(\d)\.", r"backbone.stage\1."),
    (r"^backbone\.lateral_conv0\.", "neck.lateral5."),
    (r"^backbone\.reduce_conv1\.", "neck.lateral4."),
    (r"^backbone\.C3_p(\d)\.", r"neck.merge\1."),
    (r"^backbone\.C3_n3\.", "neck.out4."),
    (r"^backbone\.C3_n4\.", "neck.out5."),
    (r"^backbone\.bu_conv2\.", "neck.down3."),
    (r"^backbone\.bu_conv1\.", "neck.down4."),
    (r"^head\.(cls_convs|reg_convs|stems)\.(\d)\.", lambda m: f"heads.{m[2]}.{_BRANCH[m[1]]}."),
    (r"^head\.(cls_preds|obj_preds|reg_preds)\.(\d)\.", lambda m: f"heads.{m[2]}.{_PREDICTION[m[1]]}."),
    (r"\.m\.(\d)\.conv1\.", r".blocks.\1.reduce."),
    (r"\.m\.(\d)\.conv2\.", r".blocks.\1.spatial."),
    (r"(stage5\.1)\.conv1\.", r"\1.reduce."),
    (r"(stage5\.1)\.conv2\.", r"\1.join."),
    (r"\.conv1\.(conv|bn)\.", r".main.\1."),
    (r"\.conv2\.(conv|bn)\.", r".bypass.\1."),
    (r"\.conv3\.(conv|bn)\.", r".join.\1."),
    (r"\.dconv\.", ".0."),
    (r"\.pconv\.", ".1."),
    (r"\.bn\.", ".norm."),
]


def load_published(network: YOLO, path: str | Path) -> None:
    """Copy the weights of a YOLOX-Nano checkpoint (`.pth`) or of a PicoDet-S file (`.bin`, as ncnn has it).

    Raises:
        ModelError: The file is neither, or its tensors do not fit the network.
    """
    (load_picodet_s if Path(path).suffix == ".bin" else load_yolox_nano)(network, path)


def our_name(name: str) -> str:
    """Turn a tensor's name in the checkpoint into its name in `YOLO`."""
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def load_yolox_nano(network: YOLO, path: str | Path) -> None:
    """Copy the checkpoint's weights into a network of the same width and depth with 80 classes.

    Raises:
        ModelError: The file is no such checkpoint or its tensors do not fit.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint that can be read ({error})") from error
    if isinstance(checkpoint, dict):
        checkpoint = checkpoint.get("model", checkpoint)
    if not isinstance(checkpoint, dict) or not all(isinstance(tensor, Tensor) for tensor in checkpoint.values()):
        raise ModelError(f"{path}: not a checkpoint of YOLOX-Nano, it holds no tensors by name")
    tensors = {our_name(str(name)): tensor.float() for name, tensor in checkpoint.items()}
    try:
        _stem_to_rgb(tensors)
        _boxes_to_anchors(tensors, network)
        own = {name: tensor for name, tensor in network.state_dict().items() if "landmarks" in name}
        network.load_state_dict(tensors | own)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{path}: its tensors do not fit this network ({error})") from error


def _stem_to_rgb(tensors: dict[str, Tensor]) -> None:
    """Join the stem's convolutions: theirs cuts the image into four phases and convolves 3x3, ours 6x6 with stride 2.

    Phases come in the order (0, 0), (1, 0), (0, 1), (1, 1) of (row, column), channels as BGR in 0..255.
    """
    focus = tensors["backbone.stem.conv.weight"]  # (O, 4 * 3, 3, 3)
    stem = focus.new_zeros(len(focus), 3, 6, 6)
    for phase, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        stem[:, :, row::2, column::2] = focus[:, 3 * phase : 3 * phase + 3].flip(1) * 255
    tensors["backbone.stem.conv.weight"] = stem


def _boxes_to_anchors(tensors: dict[str, Tensor], network: YOLO) -> None:
    """Repeat the one box of a cell for each of k anchors; (x, y, w, h) becomes (x, y, h, w).

    Sizes are exp(t) s there and a exp(t') here, so t' = t + ln(s / a) is the same box.
    """
    for i, (stride, anchors) in enumerate(zip(network.config.strides, network.config.anchors, strict=True)):
        for branch in ("class_logits", "objectness", "offsets"):
            weight, bias = f"heads.{i}.{branch}.weight", f"heads.{i}.{branch}.bias"
            if branch == "offsets":
                order = [0, 1, 3, 2]
                tensors[weight], tensors[bias] = tensors[weight][order], tensors[bias][order]
            tensors[weight] = tensors[weight].repeat(len(anchors), 1, 1, 1)
            tensors[bias] = tensors[bias].repeat(len(anchors))
        sizes = torch.tensor(anchors).flip(1)  # (k, 2) height, width
        tensors[f"heads.{i}.offsets.bias"].view(-1, 4)[:, 2:] += (stride / sizes).log()


@torch.no_grad()
def load_picodet_s(network: YOLO, path: str | Path) -> None:
    """Copy PicoDet-S's weights into a network with the shuffle backbone and 80 classes.

    The file holds the convolutions in the order in which they are computed, which is the order of our modules: for each
    a tag that says "float32", its weights and its biases. Batch norms are folded; ours get the bias and otherwise do
    nothing, see `restore_batch_statistics`. There is no objectness: ours starts at p_c = 1.
    """
    stream = _Floats(Path(path))
    norms = {module.conv: module.norm for module in network.modules() if isinstance(module, ConvUnit)}
    heads = [head for head in network.heads if isinstance(head, DistributionHead)]
    parts: list[tuple[nn.Module, DistributionHead | None]] = [(network.backbone, None), (network.neck, None)]
    for part, head in parts + [(head.branch, head) for head in heads]:
        for conv in (module for module in part.modules() if isinstance(module, nn.Conv2d)):
            weight, bias = stream.convolution(conv.weight.shape)
            conv.weight.copy_(weight)
            if conv in norms:
                _undo_norm(norms[conv], bias)
            else:
                conv.get_parameter("bias").copy_(bias)
        if head is not None:
            _read_predictions(stream, head)
    stream.expect_end()
    stem = network.get_parameter("backbone.stem.0.conv.weight")
    stem.div_(torch.tensor(DEVIATION).view(1, 3, 1, 1))  # theirs divide the pixels by it


class _Floats:
    """A file of float32 numbers, read from front to back."""

    def __init__(self, path: Path):
        self.path, self.position = path, 0
        try:
            self.numbers = torch.from_numpy(np.fromfile(path, "<f4"))
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error

    def convolution(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the next convolution's weights (O, I, F, F) and biases (O,)."""
        tag, weight, bias = (self._take(count) for count in (1, math.prod(shape), shape[0]))
        if len(bias) < shape[0] or tag.item() != 0:
            raise ModelError(f"{self.path}: not PicoDet-S's weights in float32, or not of this network's shape")
        return weight.view(shape), bias

    def expect_end(self) -> None:
        """Raise ModelError if there is more in the file."""
        if self.position != len(self.numbers):
            raise ModelError(f"{self.path}: holds more than PicoDet-S's weights")

    def _take(self, count: int) -> Tensor:
        self.position += count
        return self.numbers[self.position - count : self.position]


def _undo_norm(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Make a batch norm, in evaluation mode, add a bias and nothing else."""
    norm.get_buffer("running_mean").zero_()
    norm.get_buffer("running_var").fill_(1.0)
    norm.weight.fill_(math.sqrt(1.0 + norm.eps))
    norm.bias.copy_(bias)


def _read_predictions(stream: _Floats, head: DistributionHead) -> None:
    """Read the layer that gives 80 classes and 4 x 8 bins for each cell, and copy it for each of the k anchors."""
    classes, bins = (layer.out_channels // head.k for layer in (head.class_logits, head.sides))
    hidden = head.sides.in_channels
    weight, bias = stream.convolution((classes + bins, hidden, 1, 1))
    for layer, rows in ((head.class_logits, slice(0, classes)), (head.sides, slice(classes, None))):
        layer.weight.copy_(weight[rows].repeat(head.k, 1, 1, 1))
        layer.get_parameter("bias").copy_(bias[rows].repeat(head.k))
    nn.init.zeros_(head.objectness.weight)
    nn.init.constant_(head.objectness.get_parameter("bias"), CERTAIN)


@torch.no_grad()
def restore_batch_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of folded batch norms to those of real activations, without changing what is computed.

    A folded norm is y = a x + b with mean 0 and variance 1, and training mode, which normalizes by the batch, would
    throw the pretraining away. With mean m and variance v measured in front of each norm, weight a sqrt(v + eps) and
    bias b + a m compute the same y.

    Args:
        network: A network with batch norms.
        batches: Images as the network takes them; two hundred images are plenty.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    inputs = {norm: _Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda norm, arguments: inputs[norm].add(arguments[0])) for norm in norms]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, moments in inputs.items():
        mean = moments.total / moments.count
        variance = (moments.squares / moments.count - mean.square()).clamp(min=1e-6)
        old_mean, old_variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        slope = norm.weight.double() / (old_variance.double() + norm.eps).sqrt()
        norm.bias.copy_(norm.bias.double() + slope * (mean - old_mean.double()))
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        old_mean.copy_(mean)
        old_variance.copy_(variance)


class _Moments:
    """Sums over the pixels of (B, C, H, W) activations: (C,) of the values and of their squares."""

    def __init__(self) -> None:
        self.total = self.squares = torch.zeros((), dtype=torch.float64)
        self.count = 0

    def add(self, activations: Tensor) -> None:
        """Add a batch."""
        x = activations.double()
        self.total = self.total + x.sum(dim=(0, 2, 3))
        self.squares = self.squares + x.square().sum(dim=(0, 2, 3))
        self.count += x.numel() // x.shape[1]
