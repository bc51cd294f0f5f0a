"""What training a detector means: its data, the grid detector's loss, its measure. The loop is `training.loop`."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from lightning_fabric.utilities import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vision_app.core.errors import UsageError
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.names import COCO_CLASSES
from vision_app.data.samples import DetectionSet
from vision_app.data.scan_report import write_reports
from vision_app.data.teacher import add_teacher_boxes
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.evaluate import MEASURING, average_precision, best_confidence
from vision_app.detection.evaluate.landmarks import landmark_error
from vision_app.detection.load import load_detector
from vision_app.detection.model.targets import Targets
from vision_app.detection.model.yolo import YOLO, TorchGrid
from vision_app.detection.proposals import ProposalCache
from vision_app.detection.train.batches import Scenes, collate, plain_batches, resized, sizes
from vision_app.detection.train.callbacks import run_callbacks
from vision_app.detection.train.datasets import ValidationSet, load_datasets
from vision_app.detection.train.export import write_model
from vision_app.detection.train.initial import Start, published, starting_network
from vision_app.detection.train.loss import detection_loss
from vision_app.detection.train.options import DetectionOptions
from vision_app.released.find import Model, find
from vision_app.released.write import describe
from vision_app.training.augment import LARGEST_ZOOM, Augmenter, random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import set_trainable
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

DEFAULTS = {"confidence": 0.35, "iou": 0.5, "max_detections": 100}
LOWEST_CONFIDENCE = 0.05  # by default; below it a picture fills with boxes
SCAN = "scan.csv"  # in the folder of every run: what is odd about its data
LOOKED_AT = 256  # validation photos that the validation loss is the mean of, at most


class SceneTask:
    """What trainings on photos with boxes share; `loss` and `write` make a `training.loop.Task` of it.

    Attributes:
        propose: see `scenes.Scenes`.
        degraded: see `training.augment.default_transforms`.

    Args:
        network: to train.
        data: scanned, of the network's classes.
        validations: to measure on; the first decides.
        about: more for model.json.
        workers: processes that augment.
    """

    propose = None
    degraded = 0.0

    def __init__(
        self,
        network: nn.Module,
        data: DetectionSet,
        validations: Sequence[ValidationSet] = (),
        options: DetectionOptions = DetectionOptions(),
        *,
        about: dict | None = None,
        workers: int = 1,
    ):
        self.network, self.data, self.validations, self.options = network, data, validations, options
        self.about, self.workers = about or {}, workers

    def batches_per_epoch(self, config: TrainConfig) -> int:
        return batches_per_epoch(len(self.data), config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, list[LabeledBoxes]]]:
        """Augmented batches of an epoch, (B, 3, S, S) in 0..1; see `training.loop.Task`.

        Raises:
            DataError: there are fewer photos than processes.
        """
        indices = batch_indices(len(self.data), config, epoch, rank=rank, world=world, start=start)
        close = epoch >= config.epochs - self.options.close_epochs
        options, zoom = self.options, (0.5, LARGEST_ZOOM)
        augmenter = Augmenter(
            options.size, config.seed, options.mosaic, zoom, options.stretch, self.data.landmarks.flip, self.degraded
        )
        scenes = Scenes(self.data, augmenter, epoch, close, self.propose)
        loader = DataLoader(scenes, batch_sampler=indices, num_workers=self.workers, collate_fn=collate)
        choices = sizes(self.options.size, self.options.multi_scale)
        sides = random_numbers("size", config.seed, epoch).choice(choices, self.batches_per_epoch(config))[start:]
        for (pixels, boxes), side in zip(loader, sides.tolist(), strict=True):
            yield resized(pixels.float() / 255, boxes, side)

    def release(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures what was written; AP on the first validation set comes first.

        The confidence with the best F1 on that set becomes the model's default.
        """
        self.write(
            network, folder, name=folder.parent.name, classes=self.data.classes, defaults=DEFAULTS,
            size=self.options.size, stretch=self.options.stretch, **self.about,
        )  # fmt: skip
        detector, measured, defaults = self.load(folder), {}, dict(DEFAULTS)
        for validation in self.validations:
            rows = list(predict_rows(detector, validation.data.paths, MEASURING))
            precision = average_precision(validation.data, rows)
            confidence, f1 = best_confidence(validation.data, rows)
            if f1 and not measured:
                defaults["confidence"] = max(confidence, LOWEST_CONFIDENCE)
            measured[validation.name] = {key: round(precision[key], 4) for key in ("AP", "AP50")}
            if (error := landmark_error(validation.data, rows)) is not None:
                measured[validation.name]["landmark_error"] = round(error, 4)
        describe(folder, measured=measured, defaults=defaults)
        return {f"{name} {key}": figures[key] for name, figures in measured.items() for key in ("AP", "AP50")}

    def load(self, folder: Path) -> Detector:
        """What `release` wrote, as a detector. Regions that it searches photos for are kept beside the folder."""
        detector = load_detector(folder.resolve())
        if self.propose is not None:
            detector.propose = ProposalCache(folder.parent / "proposals")
        return detector


class DetectionTask(SceneTask):
    """Trains the grid detector."""

    def write(self, network: YOLO, folder: Path, **about) -> None:
        """See `export.write_model`."""
        write_model(network, folder, landmarks=self.data.landmarks, **about)

    def loss(
        self, images: Tensor, output: Tensor, targets: Sequence[LabeledBoxes]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of losses, the number of positives, and the sums that the loss is made of."""
        config = self.network.config
        grid = TorchGrid.make(*images.shape[2:], config.strides, config.anchors, output.device)
        truth = [Targets.of(one, output.device) for one in targets]
        losses = detection_loss(output, truth, grid, label_smoothing=self.options.label_smoothing)
        positives = torch.tensor(float(losses.positives), device=output.device)
        return losses.total, positives, {name: part.detach() for name, part in losses.parts.items()}

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The mean loss over up to 256 photos of the first validation set, as they are."""
        data = self.validations[0].data
        chosen = data.subset(np.random.default_rng(0).permutation(len(data))[:LOOKED_AT].tolist())
        device = next(self.network.parameters()).device
        total, positives = 0.0, 0.0
        for images, boxes in plain_batches(chosen, self.options.size, self.options.stretch):
            images = images.to(device)
            loss, count, _ = self.loss(images, self.network(images), boxes)
            total, positives = total + loss.item(), positives + count.item()
        return total / max(positives, 1.0)


def predict_rows(detector: Detector, paths: Sequence[str], options: DetectOptions) -> Iterator[dict]:
    """Rows as `vision-app detect` writes them."""
    for path in paths:
        yield {"file": path, **detector(path, options).to_dict()}


def train(
    data: Sequence[Path],
    validation: Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: DetectionOptions = DetectionOptions(),
    *,
    initial: Path | None = None,
    teacher_boxes: Path | None = None,
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence = (),
    run: Callable[..., dict[str, float]] = fit,
    task: type[SceneTask] = DetectionTask,
    start: Start = starting_network,
) -> dict[str, float]:
    """Trains a detector; see `training.loop.fit` and `callbacks` for what `output` holds beside scan.csv.

    The classes are those of the data, or COCO's eighty with a published network or a teacher's boxes, which know these.

    Args:
        data, validation: sets as `data.detection.load_detection` takes them; see `datasets.load_datasets` for what is
            measured on without `validation`. The AP on the first decides which network is best.
        initial: what to start from: a model of ours, by its folder or name, or a file of published weights.
        teacher_boxes: see `data.teacher`.
        workers: processes that augment.
        callbacks: more of them, see `training.task.Callback`.
        run: what is done with the task: `fit`, or `training.learning_rate.find_learning_rate`.
        task, start: of the kind of detector, see `start.starting_network`.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    check_run_folder(output, resume, SCAN)
    if options.transfer != "all" and initial is None:
        raise UsageError(f"--transfer {options.transfer}: there is nothing to transfer; --initial names a model")
    inputs = {"initial": identity(initial)}
    torch.manual_seed(config.seed)
    coco = COCO_CLASSES if teacher_boxes or published(initial) else None
    target = round(LARGEST_ZOOM * options.size)
    learned, validations, scanned = load_datasets(
        data, validation, classes=coco, target=target, seed=config.seed, taught=bool(teacher_boxes), log=log
    )
    if teacher_boxes:
        learned = add_teacher_boxes(learned, teacher_boxes)
    inputs["teacher_boxes"] = identity(teacher_boxes)
    network, about = start(initial, learned, options)
    for key, value in about.items():
        log(f"anchors: {key.replace('_', ' ')} {value}")
    set_trainable(network, options.transfer)
    output.mkdir(parents=True, exist_ok=True)
    rank_zero_only(write_reports)(output / SCAN, {name: one.report for name, one in scanned.items()})
    trained = {"photos": len(learned), "initial": inputs["initial"], **asdict(config), **asdict(options)}
    learning = task(network, learned, validations, options, about={"trained": trained, **about}, workers=workers)
    inputs |= asdict(options)
    inputs["data"] = f"{', '.join(path.name for path in data)} {learned.digest()}"
    inputs["validation"] = ", ".join(f"{one.name} {one.data.digest()}" for one in validations)
    shown = rank_zero_only(run_callbacks, default=())(learning, log, pretrained=initial is not None)
    return run(learning, config, output, inputs=inputs, resume=resume, log=log, callbacks=(*shown, *callbacks))


def identity(path: Path | None) -> str:
    """The name and digest of a file, or of a model's weights; the same wherever they lie."""
    if path is None:
        return "none"
    file = path if path.is_file() else find_model(path).file("weights.safetensors")
    return f"{path.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def find_model(path: Path) -> Model:
    return find(path.resolve() if path.is_dir() else str(path), "detection")
