"""Initial weights for our network from a published YOLOX-Nano checkpoint (Apache-2.0, Megvii, COCO).

The checkpoint predicts one box a cell without anchors. Every anchor of ours starts as a copy of that box: sizes are
exp(t) s there and a exp(t') here, so t' = t + ln(s / a) is the same box. The network therefore starts with the
teacher's answers, and training only has to tell the anchors of a cell apart.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from vision_app.detection.backbone import STRIDES
from vision_app.detection.blocks import ConvUnit
from vision_app.detection.yolo import YOLO
from vision_app.errors import ModelError

_BRANCH = {"cls_convs": "class_branch", "reg_convs": "box_branch", "stems": "stem"}
_PREDICTION = {"cls_preds": "class_logits", "obj_preds": "objectness", "reg_preds": "offsets"}
_RULES = [  # the checkpoint's names -> ours, applied in this order
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


def our_name(name: str) -> str:
    """A tensor's name in the checkpoint -> its name in `YOLO`."""
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def load_yolox_nano(network: YOLO, path: str | Path) -> None:
    """Copies the checkpoint's weights into a network of the same width and depth with 80 classes.

    Raises:
        ModelError: the file is no such checkpoint or its tensors do not fit.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint that can be read ({error})") from error
    tensors = {our_name(name): tensor.float() for name, tensor in checkpoint.get("model", checkpoint).items()}
    try:
        _stem_to_rgb(tensors)
        _boxes_to_anchors(tensors, network)
        network.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{path}: its tensors do not fit this network ({error})") from error


def _stem_to_rgb(tensors: dict[str, Tensor]) -> None:
    """Their stem cuts the picture into four phases and convolves 3x3; ours is the same as one 6x6 with stride 2.

    Phases come in the order (0, 0), (1, 0), (0, 1), (1, 1) of (row, column), channels as BGR in 0..255.
    """
    focus = tensors["backbone.stem.conv.weight"]  # (O, 4 * 3, 3, 3)
    stem = focus.new_zeros(len(focus), 3, 6, 6)
    for phase, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        stem[:, :, row::2, column::2] = focus[:, 3 * phase : 3 * phase + 3].flip(1) * 255
    tensors["backbone.stem.conv.weight"] = stem


def _boxes_to_anchors(tensors: dict[str, Tensor], network: YOLO) -> None:
    """One box a cell -> k anchors a cell, all of them that box; (x, y, w, h) -> (x, y, h, w)."""
    for i, (stride, anchors) in enumerate(zip(STRIDES, network.config.anchors, strict=True)):
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
def restore_batch_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives batch norms whose statistics were folded away those of real activations; what is computed stays the same.

    A folded norm is y = a x + b with mean 0 and variance 1, and training mode, which normalizes by the batch, would
    throw the pretraining away. With mean m and variance v measured in front of each norm, weight a sqrt(v + eps) and
    bias b + a m compute the same y.

    Args:
        network: holds `ConvUnit`s.
        batches: images as the network takes them; two hundred images are plenty.
    """
    network.eval()
    units = [module for module in network.modules() if isinstance(module, ConvUnit)]
    sums = {unit.norm: [0.0, 0.0, 0] for unit in units}

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].double()
        total = sums[norm]
        total[0] = total[0] + x.sum(dim=(0, 2, 3))
        total[1] = total[1] + x.square().sum(dim=(0, 2, 3))
        total[2] += x.numel() // x.shape[1]

    hooks = [unit.norm.register_forward_pre_hook(measure) for unit in units]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=1e-6)
        slope = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        norm.bias.copy_(norm.bias.double() + slope * (mean - norm.running_mean.double()))
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
