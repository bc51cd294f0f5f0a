"""What training the grid detector means: its data, its loss, its measure. The loop itself is `training.loop`."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from vision_app.data.detection import DetectionSet, check_photos, load_coco
from vision_app.data.names import COCO_CLASSES
from vision_app.data.teacher import add_teacher_boxes
from vision_app.detection.anchors import best_possible_recall, kmeans_anchors
from vision_app.detection.backbone import STRIDES
from vision_app.detection.detector import DetectOptions, Detector
from vision_app.detection.evaluate import MEASURING, average_precision
from vision_app.detection.export import INPUT_SIZE, describe, write_model
from vision_app.detection.grid import Anchors
from vision_app.detection.initialize import load_yolox_nano, restore_batch_statistics
from vision_app.detection.loss import Targets, detection_loss
from vision_app.detection.yolo import YOLO, TorchGrid, YOLOConfig
from vision_app.errors import DataError, ModelError, UsageError
from vision_app.released import Model, find
from vision_app.training.augment import Augmenter, Scene, random_view
from vision_app.training.blend import blend
from vision_app.training.loop import TrainConfig, check_run_folder, fit

DEFAULTS = {"confidence": 0.35, "iou": 0.5, "max_detections": 100}
TOLERATED = ("annotation without image", "empty box", "box out of range")  # in validation sets, by `ScanReport`
CLOSE_EPOCHS = 3  # the last ones, without mosaic
ANCHORS_PER_CELL = 2
SIZES = (288, 320, 352, 384, 416)  # multi-scale training: each batch is resized to one of these


@dataclass(frozen=True)
class Validation:
    """A COCO-style file to measure on: its name in the metrics, its content, and its photos by file name."""

    name: str
    truth: dict
    photos: dict[str, Path]

    @classmethod
    def load(cls, path: str | Path) -> "Validation":
        """Reads the file as `load_coco` does; an image that cannot be measured on is an error here, not left out."""
        path = Path(path)
        data, _ = check_photos(load_coco(path, COCO_CLASSES))
        for problem in data.report.problems:
            if not problem.startswith(TOLERATED):
                raise DataError(f"{path}: {problem}")
        truth = json.loads(path.read_text(encoding="utf-8"))
        names = [image["file_name"] for image in truth["images"]]
        photos = dict(zip(names, (sample.path for sample in data.samples), strict=True))
        return cls(f"{path.parent.name} {path.stem}", truth, photos)


def choose_anchors(data: DetectionSet, per_scale: int = ANCHORS_PER_CELL) -> tuple[Anchors, float, float]:
    """Anchors for the strides from small to large by k-means on the boxes as the network sees them.

    Returns:
        The anchors, their best possible recall at IoU 0.5, and the mean best IoU.
    """
    shapes = [(s.boxes[:, 2:] - s.boxes[:, :2]) * (INPUT_SIZE / max(s.width, s.height)) for s in data.samples]
    shapes, count = np.concatenate(shapes).clip(min=1), per_scale * len(STRIDES)
    if len(shapes) < count:
        raise DataError(f"{count} anchors cannot be found from {len(shapes)} boxes in all; start from a model folder")
    anchors, mean_iou = kmeans_anchors(shapes, count)
    rounded = anchors.round(1)
    scales = rounded.reshape(len(STRIDES), per_scale, 2).tolist()
    return tuple(tuple(map(tuple, scale)) for scale in scales), best_possible_recall(shapes, rounded), mean_iou


class _Scenes(Dataset):
    """Augmented scenes of one epoch as tensors. Photos stay decoded in memory, shared by the worker processes."""

    def __init__(self, data: DetectionSet, photos: Sequence[np.ndarray], augmenter: Augmenter, epoch: int, close: bool):
        self.data, self.photos, self.augmenter, self.epoch, self.close = data, photos, augmenter, epoch, close
        counts = [len(s.boxes) + len(s.unknown) for s in data.samples]
        self.starts = np.concatenate([[0], np.cumsum(counts)])  # ids of boxes run through the whole set
        parts = [(s.labels, s.confidences, len(s.unknown)) for s in data.samples]
        self.labels = np.concatenate([np.append(labels, np.full(u, -1)) for labels, _, u in parts]).astype(np.int64)
        self.confidences = np.concatenate([np.append(c, np.zeros(u)) for _, c, u in parts]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.photos)

    def _scene(self, index: int) -> Scene:
        sample = self.data.samples[index]
        boxes = np.concatenate([sample.boxes, sample.unknown])
        return Scene(self.photos[index], boxes, np.arange(self.starts[index], self.starts[index + 1]))

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        scene = self.augmenter(self._scene, len(self), self.epoch, index, self.close)
        labels, boxes = torch.from_numpy(self.labels[scene.ids]), torch.from_numpy(scene.boxes)
        known = labels >= 0
        confidences = torch.from_numpy(self.confidences[scene.ids])[known]
        targets = Targets(boxes[known], labels[known], confidences, boxes[~known])
        return torch.from_numpy(scene.pixels).permute(2, 0, 1), targets


def _collate(items: list[tuple[Tensor, Targets]]) -> tuple[Tensor, list[Targets]]:
    return torch.stack([pixels for pixels, _ in items]), [targets for _, targets in items]


class DetectionTask:
    """A `training.loop.Task`."""

    def __init__(
        self,
        network: YOLO,
        data: DetectionSet,
        photos: Sequence[np.ndarray],
        validations: Sequence[Validation],
        about: dict,
        *,
        workers: int = 1,
    ):
        self.network, self.data, self.photos, self.validations, self.about = network, data, photos, validations, about
        self.workers = workers

    def batches_per_epoch(self, config: TrainConfig) -> int:
        return max(1, len(self.data) // config.batch_size)

    def batches(self, config: TrainConfig, epoch: int) -> Iterator[tuple[Tensor, list[Targets]]]:
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self.data))
        count, size = self.batches_per_epoch(config), config.batch_size
        batches = [order[i * size : (i + 1) * size].tolist() for i in range(count)]
        close = epoch >= config.epochs - CLOSE_EPOCHS
        scenes = _Scenes(self.data, self.photos, Augmenter(INPUT_SIZE, config.seed), epoch, close)
        loader = DataLoader(scenes, batch_sampler=batches, num_workers=self.workers, collate_fn=_collate)
        sizes = np.random.default_rng((config.seed, epoch, 1)).choice(SIZES, count)
        for (pixels, targets), side in zip(loader, sizes.tolist(), strict=True):
            yield _resized(pixels.float() / 255, targets, side)

    def loss(self, images: Tensor, output: Tensor, targets: list[Targets]) -> tuple[Tensor, dict[str, float]]:
        grid = TorchGrid.make(*images.shape[2:], self.network.config.anchors, output.device)
        targets = [target.to(output.device) for target in targets]
        losses = detection_loss(output, targets, grid)
        parts = {"box": losses.box.item(), "objectness": losses.objectness.item(), "class": losses.classes.item()}
        return losses.total, {**parts, "positives": losses.positives / len(targets)}

    def release(self, network: YOLO, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures what was written; AP on the first validation set comes first."""
        write_model(
            network, folder, name=folder.parent.name, classes=self.data.classes, defaults=DEFAULTS, **self.about
        )
        detector, measured = Detector.load(folder.resolve()), {}
        for validation in self.validations:
            precision = average_precision(validation.truth, predict_rows(detector, validation.photos, MEASURING))
            measured[validation.name] = {key: round(precision[key], 4) for key in ("AP", "AP50")}
        describe(folder, measured=measured)
        return {f"{name} {key}": value for name, figures in measured.items() for key, value in figures.items()}


def predict_rows(detector: Detector, photos: dict[str, Path], options: DetectOptions) -> Iterator[dict]:
    """Rows as `vision-app detect` writes them, for photos by name."""
    for name, path in photos.items():
        yield {"file": name, **detector(path, options).to_dict()}


def _resized(images: Tensor, targets: list[Targets], side: int) -> tuple[Tensor, list[Targets]]:
    """A batch of square scenes at another size."""
    scale = side / images.shape[-1]
    if scale == 1:
        return images, targets
    images = F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=False)
    moved = [Targets(t.boxes * scale, t.labels, t.confidences, t.unknown * scale) for t in targets]
    return images, moved


def train(
    data: Sequence[Path],
    validation: Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    initial: Path | None = None,
    teacher_boxes: Path | None = None,
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Trains a detector of COCO's eighty classes; see `training.loop.fit` for what it leaves in `output`.

    Args:
        data: COCO-style files whose categories are COCO's or VOC's.
        validation: COCO-style files to measure on; the AP of the first decides which network is best.
        initial: a YOLOX-Nano checkpoint, or a model folder of ours, to start from.
        teacher_boxes: see `data.teacher`.
        workers: processes that augment.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    check_run_folder(output, resume)
    torch.manual_seed(config.seed)
    validations = [Validation.load(path) for path in validation]
    joined = _joined([load_coco(path, COCO_CLASSES) for path in data])
    if teacher_boxes:
        joined = add_teacher_boxes(joined, teacher_boxes)
    joined, photos = check_photos(joined, log=log)
    for problem in joined.report.problems:
        log(problem)
    log(f"{len(joined)} photos, {len(joined.report.problems)} problems: {dict(joined.report.kinds)}")
    network, about = _initial_network(initial, joined, photos)
    log("anchors " + "; ".join(f"{key} {value}" for key, value in about.items()))
    about = {"trained": {"photos": len(joined), **asdict(config)}, **about}
    task = DetectionTask(network, joined, photos, validations, about, workers=workers)
    inputs = {
        "data": _identity(*data),
        "validation": _identity(*validation),
        "initial": _identity(initial),
        "teacher_boxes": _identity(teacher_boxes),
    }
    return fit(task, config, output, inputs=inputs, resume=resume, log=log)


def blend_models(start: Path, trained: Path, fraction: float, output: Path) -> None:
    """Writes the model folder on the way from one detector to another; see `training.blend`.

    Raises:
        UsageError: the fraction lies outside 0 to 1, the two are not alike, or `output` holds a model already.
    """
    if (output / "model.json").exists():
        raise UsageError(f"--output {output}: holds a model already")
    model = find(trained.resolve())
    networks = [_released_network(found) for found in (find(start.resolve()), model)]
    try:
        mixed = blend(*(network.state_dict() for network in networks), fraction)
    except ValueError as error:
        raise UsageError(f"{start} and {trained}: {error}") from error
    network = networks[1]
    network.load_state_dict(mixed)
    about = {"trained": model.info.get("trained", {}) | {"blended": fraction}}
    write_model(network, output, name=output.name, classes=model.classes, defaults=model.defaults, **about)


def _joined(sets: Sequence[DetectionSet]) -> DetectionSet:
    first, *others = sets
    for other in others:
        first = first.joined(other)
    return first


def _identity(*paths: Path | None) -> str:
    """Names and digests of files, of a model folder those of its weights; the same wherever they lie."""
    files = [path / "weights.safetensors" if path.is_dir() else path for path in paths if path]
    return ", ".join(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}" for file in files) or "none"


def _initial_network(initial: Path | None, data: DetectionSet, photos: Sequence[np.ndarray]) -> tuple[YOLO, dict]:
    """The network that training starts from, and what model.json says of its anchors."""
    if initial and initial.is_dir():
        return _released_network(find(initial.resolve())), {}
    anchors, recall, mean_iou = choose_anchors(data)
    about = {"best_possible_recall": round(recall, 4), "mean_best_iou": round(mean_iou, 4)}
    network = YOLO(YOLOConfig(len(COCO_CLASSES), anchors))
    if initial:
        load_yolox_nano(network, initial)
        restore_batch_statistics(network, _typical_batches(photos))
    return network, about


def _released_network(model: Model) -> YOLO:
    """A released detector of the same classes as a module to train on.

    Raises:
        ModelError: it is no such detector, or its weights do not fit what model.json says.
    """
    if model.info["architecture"].get("type") != "yolo" or model.classes != COCO_CLASSES:
        raise ModelError(f"{model.folder}: not a grid detector of COCO's classes")
    network = YOLO(YOLOConfig.from_dict(model.info["architecture"]))
    try:
        network.load_state_dict(load_file(model.file("weights.safetensors")))
    except (RuntimeError, SafetensorError) as error:
        raise ModelError(f"{model.folder}: its weights do not fit its architecture ({error})") from error
    return network


def _typical_batches(photos: Sequence[np.ndarray], count: int = 256, size: int = 16) -> Iterator[Tensor]:
    """Views of random photos as the network takes them, to measure activations on."""
    generator = np.random.default_rng(0)
    chosen = generator.choice(len(photos), min(count, len(photos)), replace=False)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, int)
    for start in range(0, len(chosen), size):
        scenes = [Scene(photos[i], *nothing) for i in chosen[start : start + size]]
        views = [random_view(scene, INPUT_SIZE, generator, (0.6, 1.4)).pixels for scene in scenes]
        yield torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255
