"""Convert published weights of detectors into a model folder that `vision-app train yolo --initial` starts from.

    python tools/convert_detector.py picodet-s-416.bin --data DATA/train.json --output START
    vision-app train yolo --data DATA/train.json --initial START --output RUN

Two files fit networks of ours (both Apache-2.0, trained on COCO): YOLOX-Nano's checkpoint (.pth, Megvii) the CSP
backbone, its neck and the decoupled head; PicoDet-S (.bin, as ncnn has it; PaddlePaddle) the shuffle backbone, its neck
and the distribution head. Both predict one box per cell without anchors. Every anchor of ours starts as a copy of that
box, so the network starts with the same predictions. Anchors and the statistics of batch norms are those of the data;
give the --data, --validation, --size, --stretch and --seed of the training.
"""

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batch_norms import restore_batch_statistics
from torch import Tensor, nn

from vision_app.core.errors import ModelError, VisionAppError
from vision_app.data.names import COCO_CLASSES
from vision_app.data.samples import DetectionSet
from vision_app.detection.model.blocks import ConvUnit
from vision_app.detection.model.heads import DistributionHead
from vision_app.detection.model.yolo import YOLO, YOLOConfig, layout
from vision_app.detection.train.batches import typical_batches
from vision_app.detection.train.datasets import load_datasets
from vision_app.detection.train.export import check_output, write_model
from vision_app.detection.train.initial import choose_anchors, name_and_digest
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DEFAULTS
from vision_app.training.augment import LARGEST_ZOOM

BACKBONES = {".pth": "csp", ".bin": "shuffle"}  # by the suffix of the file
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


def convert(path: Path, data: DetectionSet, output: Path, options: DetectionOptions) -> None:
    """Write a model folder with published weights.

    Args:
        path: The file.
        data: Images of COCO's classes, which decide anchors and the statistics of batch norms.
        output: The folder.
        options: Size and stretch are used.

    Raises:
        DataError: There are too few boxes to choose anchors for.
        ModelError: The file is of another kind, or its tensors do not fit.
    """
    if path.suffix not in BACKBONES:
        raise ModelError(f"{path}: no published weights; take a file that ends with {' or '.join(BACKBONES)}")
    parts = layout(BACKBONES[path.suffix])
    anchors, recall, mean_iou = choose_anchors(data, options.size, parts.neck.strides, parts.anchors, options.stretch)
    network = YOLO(YOLOConfig(len(COCO_CLASSES), anchors, backbone=BACKBONES[path.suffix]))
    load_published(network, path)
    restore_batch_statistics(network, typical_batches(data, options.size, options.stretch))
    write_model(
        network, output, name=output.name, classes=COCO_CLASSES, defaults=DEFAULTS, size=options.size,
        stretch=options.stretch, license="Apache-2.0", learned_from=[name_and_digest(path)],
        best_possible_recall=round(recall, 4), mean_best_iou=round(mean_iou, 4),
    )  # fmt: skip


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
    nothing, see `batch_norms.restore_batch_statistics`. There is no objectness: ours starts at p_c = 1.
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


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="FILE", help="published weights, .pth or .bin")
    parser.add_argument("--data", type=Path, action="append", required=True, help="to train on; may be repeated")
    parser.add_argument("--validation", type=Path, action="append", default=[], help="to measure on; may be repeated")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="model folder to write")
    parser.add_argument("--size", type=int, default=DetectionOptions.size, help="of the network's input in pixels")
    parser.add_argument("--stretch", type=float, default=DetectionOptions.stretch, help="see `vision-app train yolo`")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the training, which holds images out")
    arguments = parser.parse_args(words)
    try:
        check_output(arguments.output)
        options = DetectionOptions(size=arguments.size, stretch=arguments.stretch)
        data, _, _ = load_datasets(
            arguments.data, arguments.validation, classes=COCO_CLASSES, target=round(LARGEST_ZOOM * options.size),
            seed=arguments.seed, taught=True,
        )  # fmt: skip
        convert(arguments.weights, data, arguments.output, options)
    except VisionAppError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
