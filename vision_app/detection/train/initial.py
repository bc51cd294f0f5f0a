"""The network that training starts from: random weights or those of a model."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_app.core.errors import DataError, UsageError
from vision_app.core.files import read_bytes
from vision_app.data.names import canonical
from vision_app.data.samples import DetectionSet
from vision_app.detection.grid import Anchors
from vision_app.detection.model.build import load_network
from vision_app.detection.model.yolo import YOLO, YOLOConfig, layout
from vision_app.detection.train.options import DetectionOptions
from vision_app.released.find import Model, find
from vision_app.released.landmarks import Landmarks
from vision_app.training.augment import fitting_scale
from vision_app.training.initialize import initialize

ITERATIONS = 300  # of k-means, at most
RIDGE = 1e-4  # of `shortened`, relative to the mean variance of the inputs
Start = Callable[[Path | None, DetectionSet, DetectionOptions], tuple[Any, dict[str, Any]]]  # see `starting_network`


def choose_anchors(
    data: DetectionSet, size: int, strides: tuple[int, ...], per_scale: int, stretch: float = 1.0
) -> tuple[Anchors, float, float]:
    """Choose anchors for the strides from small to large by k-means on the boxes as the network sees them.

    Images are scaled to a long side of `size` pixels; for `stretch` see `letterbox.letterbox_shape`.

    Returns:
        The anchors, their best possible recall at IoU 0.5, and the mean best IoU.

    Raises:
        DataError: There are fewer boxes than anchors.
    """
    sides = []
    for sample in data.samples:
        xyxy = sample.boxes.not_ignored.xyxy
        sides.append((xyxy[:, 2:] - xyxy[:, :2]) * fitting_scale(sample.width, sample.height, size, stretch))
    shapes, count = np.concatenate(sides).clip(min=1), per_scale * len(strides)
    if len(shapes) < count:
        raise DataError(f"{count} anchors cannot be found from {len(shapes)} boxes in all; start from a model folder")
    anchors, mean_iou = kmeans_anchors(shapes, count)
    rounded = anchors.round(1)
    scales = rounded.reshape(len(strides), per_scale, 2).tolist()
    return tuple(tuple(map(tuple, scale)) for scale in scales), best_possible_recall(shapes, rounded), mean_iou


def starting_network(
    initial: Path | None, data: DetectionSet, options: DetectionOptions
) -> tuple[YOLO, dict[str, Any]]:
    """Return the network that training starts from, and what model.json says of its anchors.

    Args:
        initial: A model, by its folder or name, whose anchors and backbone are kept and whose class layer follows the
            classes of `data`; or None for random weights.
        data: The images, of the classes to learn.
        options: Those called size, stretch, backbone, initialize and dropout are used.

    Raises:
        DataError: There are too few boxes to choose anchors for.
        ModelError: `initial` does not fit.
        UsageError: There is no such backbone, or `initial` has another one.
    """
    if initial:
        model = find_model(initial)
        landmarks = Landmarks.of(model).names, data.landmarks.names
        network = with_classes(load_network(model, YOLO), model.classes, data.classes, options.dropout, landmarks)
        check_backbone(options, network.config.backbone)
        return network, {}
    backbone = options.backbone or "csp"
    parts = layout(backbone)
    anchors, recall, mean_iou = choose_anchors(data, options.size, parts.neck.strides, parts.anchors, options.stretch)
    config = YOLOConfig(
        len(data.classes), anchors, backbone=backbone, dropout=options.dropout, landmarks=len(data.landmarks)
    )
    network = YOLO(config)
    initialize(network, options.initialize)
    return network, {"best_possible_recall": round(recall, 4), "mean_best_iou": round(mean_iou, 4)}


def find_model(path: Path) -> Model:
    """Return a detector by its folder or name; more errors are those of `find`.

    Raises:
        UsageError: It is a file.
    """
    if path.is_file():
        raise UsageError(
            f"{path}: is a file; training starts from a model, by name or folder. "
            "tools/convert_detector.py makes one of published weights"
        )
    return find(path.resolve() if path.is_dir() else path)


def name_and_digest(path: Path | None) -> str:
    """Return the name and digest of a file, or of a model's weights; the same wherever they are. "none" for None."""
    if path is None:
        return "none"
    file = path if path.is_file() else find_model(path).file("weights.safetensors")
    return f"{path.name} {hashlib.sha256(read_bytes(file)).hexdigest()[:12]}"


def check_backbone(options: DetectionOptions, found: str) -> None:
    """Raise UsageError if a backbone was asked for that the model to start from does not have."""
    if options.backbone not in (None, found):
        raise UsageError(f"--backbone {options.backbone}: the model to start from has the backbone {found}")


@torch.no_grad()
def with_classes(
    network: YOLO,
    old: Sequence[str],
    new: Sequence[str],
    dropout: float = 0.0,
    landmarks: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> YOLO:
    """Return the same network for other classes and landmarks.

    Everything but their layers is copied, and of these the rows of classes and landmarks that both know, COCO's and
    VOC's names for a thing counting as one. The other rows are random.

    The network, of the `old` classes, stays as it is; for `dropout` see `YOLOConfig`. `landmarks` are the names of the
    old ones and of the new ones.
    """
    values = network.config.to_dict() | {"classes": len(new), "dropout": dropout, "landmarks": len(landmarks[1])}
    fresh, rows = YOLO(YOLOConfig.from_dict(values)), known_rows(old, new)
    points = {i: landmarks[0].index(name) for i, name in enumerate(landmarks[1]) if name in landmarks[0]}
    coordinates = {2 * i + axis: 2 * place + axis for i, place in points.items() for axis in (0, 1)}
    before = network.state_dict()
    for name, tensor in fresh.state_dict().items():
        if "class_logits" in name:
            copy_rows(tensor, before[name], rows, len(new), len(old))
        elif "landmarks" not in name:
            tensor.copy_(before[name])
        elif points:
            copy_rows(tensor, before[name], coordinates, 2 * len(landmarks[1]), 2 * len(landmarks[0]))
    return fresh


def known_rows(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """Map the index of each new class that is among the old ones to its index there.

    COCO's and VOC's names for a thing count as one.
    """
    places = {canonical(name): i for i, name in enumerate(old)} | {name: i for i, name in enumerate(old)}
    found = {i: places.get(name, places.get(canonical(name))) for i, name in enumerate(new)}
    return {i: place for i, place in found.items() if place is not None}


def copy_rows(new: Tensor, old: Tensor, rows: Mapping[int, int], count: int, old_count: int) -> None:
    """Copy rows of a layer, given as new: old. It has k times `count` of them one after the other, (k count, ...)."""
    target: Tensor = new.unflatten(0, (-1, count))  # type: ignore[no-untyped-call]
    source: Tensor = old.unflatten(0, (-1, old_count))  # type: ignore[no-untyped-call]
    target[:, list(rows.keys())] = source[:, list(rows.values())]


@torch.no_grad()
def shortened(network: YOLO, blocks: int, batches: Iterable[Tensor]) -> YOLO:
    """Return the same network with fewer blocks in the backbone's last stage.

    The convolution that takes the stage's map, `neck.lateral5`, is fitted to give what it gave before, by ridge
    regression over the pixels of real activations. Training removes the rest of the difference.

    Args:
        network: Stays as it is, but is put in evaluation mode.
        blocks: Number of blocks of the last stage, at least 1.
        batches: Images as the network takes them; two hundred images are plenty.

    Returns:
        A smaller network, or the same one where it has no more blocks.
    """
    depths = network.config.depths
    if depths[-1] <= blocks:
        return network
    network.eval()
    short = YOLO(replace(network.config, depths=(*depths[:-1], blocks))).eval()
    before = network.state_dict()
    short.load_state_dict({name: before[name] for name in short.state_dict()})
    unit, old = short.neck.lateral5, network.neck.lateral5
    inputs: list[Tensor] = []
    wanted: list[Tensor] = []
    hooks = [
        unit.conv.register_forward_hook(lambda layer, arguments, output: inputs.append(_rows(arguments[0]))),
        old.conv.register_forward_hook(lambda layer, arguments, output: wanted.append(_rows(output))),
    ]
    for batch in batches:
        short(batch)
        network(batch)
    for hook in hooks:
        hook.remove()
    _fit(unit.conv, unit.norm, torch.cat(inputs), torch.cat(wanted))
    return short


def _rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B H W, C) float64."""
    return maps.movedim(1, -1).flatten(0, 2).double()


def _fit(layer: nn.Conv2d, norm: nn.BatchNorm2d, inputs: Tensor, wanted: Tensor) -> None:
    """Set the weights of a 1 x 1 convolution without bias to those that map inputs nearest to what is wanted.

    The constant goes into the mean of the batch norm behind it.
    """
    mean, goal = inputs.mean(0), wanted.mean(0)
    centered = inputs - mean
    square = centered.T @ centered
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square))
    weight: Tensor = torch.linalg.solve(square, centered.T @ (wanted - goal)).T
    layer.weight.copy_(weight[:, :, None, None])
    norm.get_buffer("running_mean").sub_(goal - weight @ mean)


def shape_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the (N, K) IoU of boxes that share a center, of (N, 2) and (K, 2) widths and heights."""
    intersection: np.ndarray = np.minimum(a[:, None], b[None]).prod(axis=-1)
    iou: np.ndarray = intersection / (a.prod(axis=-1)[:, None] + b.prod(axis=-1)[None] - intersection)
    return iou


def best_possible_recall(shapes: np.ndarray, anchors: np.ndarray, threshold: float = 0.5) -> float:
    """Return the fraction of (N, 2) box shapes that some of the (K, 2) anchors matches with at least this IoU."""
    return float((shape_iou(shapes, anchors).max(axis=1) >= threshold).mean())


def kmeans_anchors(shapes: np.ndarray, k: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """Cluster box shapes with the distance 1 - IoU; a cluster's center is its mean shape.

    Args:
        shapes: (N, 2) widths and heights, N >= k, all positive.
        k: Number of anchors.
        seed: Random seed.

    Returns:
        (k, 2) anchors ordered by area, and the mean over the shapes of their best IoU.

    Raises:
        ValueError: There are fewer than k shapes, or shapes that are not positive.
    """
    shapes = np.asarray(shapes, np.float64)
    if len(shapes) < k or (shapes <= 0).any():
        raise ValueError(f"k-means needs at least {k} boxes with positive width and height, got {len(shapes)}")
    generator = np.random.default_rng(seed)
    anchors = shapes[_spread_start(shapes, k, generator)]
    nearest = np.full(len(shapes), -1)
    for _ in range(ITERATIONS):
        assigned = shape_iou(shapes, anchors).argmax(axis=1)
        if (assigned == nearest).all():
            break
        nearest = assigned
        for i in np.unique(nearest):
            anchors[i] = shapes[nearest == i].mean(axis=0)
    anchors = anchors[anchors.prod(axis=1).argsort()]
    return anchors, float(shape_iou(shapes, anchors).max(axis=1).mean())


def _spread_start(shapes: np.ndarray, k: int, generator: np.random.Generator) -> list[int]:
    """Draw indices of k centers by k-means++: each next one by its squared distance to the others.

    Arthur and Vassilvitskii, 2007.
    """
    chosen = [int(generator.integers(len(shapes)))]
    while len(chosen) < k:
        distance = 1 - shape_iou(shapes, shapes[chosen]).max(axis=1)
        weight = distance.clip(min=1e-12) ** 2
        chosen.append(int(generator.choice(len(shapes), p=weight / weight.sum())))
    return chosen
