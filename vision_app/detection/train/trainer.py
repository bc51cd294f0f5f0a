"""What training a detector consists of: its data, the grid detector's loss, its metrics. For `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import UsageError
from vision_app.core.images import RGBImage
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import DetectionSet
from vision_app.detection.base import DetectOptions, Detector
from vision_app.detection.evaluate.curves import Sweep
from vision_app.detection.evaluate.evaluation import MEASURING, measure_precision
from vision_app.detection.evaluate.matching import landmark_error
from vision_app.detection.evaluate.table import Table
from vision_app.detection.load import load_detector
from vision_app.detection.model.yolo import YOLO, Targets, TorchGrid
from vision_app.detection.proposals import ProposalCache
from vision_app.detection.train.batches import Scenes, collate, plain_batches, resized, sizes
from vision_app.detection.train.datasets import SCAN, RunData, ValidationSet
from vision_app.detection.train.export import write_model
from vision_app.detection.train.initial import Start, find_model, starting_network
from vision_app.detection.train.loss import detection_loss
from vision_app.detection.train.options import DetectionOptions
from vision_app.released.write import describe
from vision_app.training.augment import LARGEST_ZOOM, Augmenter, random_numbers, whole_scene
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import set_trainable
from vision_app.training.loop import fit
from vision_app.training.report import Curves, FirstBatches, Predictions, TensorBoard, Verdict
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

DEFAULTS = {"confidence": 0.35, "iou": 0.5, "max_detections": 100}
LOWEST_CONFIDENCE = 0.05  # of a model's default; below it an image fills with boxes
LOSS_IMAGES = 256  # max. number of validation images of the validation loss


@dataclass(eq=False)
class ImageTask:
    """What trainings on images with boxes share, those of classifiers included.

    Attributes:
        network: The network to train.
        data: Scanned images, with the network's classes.
        validations: What is measured on; the first decides.
        about: More for model.json.
        workers: Number of processes that augment.
    """

    network: Any
    data: DetectionSet
    validations: Sequence[ValidationSet] = ()
    about: dict[str, Any] = field(default_factory=dict, kw_only=True)
    workers: int = field(default=1, kw_only=True)

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return the number of steps of an epoch."""
        return batches_per_epoch(len(self.data), config)


@dataclass(eq=False)
class SceneTask(ImageTask):
    """What trainings of detectors share; `loss` and `write` make a `training.task.TrainingTask` of it.

    Attributes:
        options: What is particular to detectors.
        propose: See `batches.Scenes`.
        degraded: See `training.augment.default_transforms`.
    """

    options: DetectionOptions = DetectionOptions()
    propose: Callable[[np.ndarray], np.ndarray] | None = field(default=None, init=False)
    degraded = 0.0

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, list[LabeledBoxes]]]:
        """Yield augmented batches of an epoch, (B, 3, S, S) in 0..1; see `training.task.TrainingTask`.

        Raises:
            DataError: There are fewer images than processes.
        """
        indices = batch_indices(len(self.data), config, epoch, rank=rank, world=world, start=start)
        close = epoch >= config.epochs - self.options.close_epochs
        options, zoom = self.options, (0.5, LARGEST_ZOOM)
        augmenter = Augmenter(
            options.size, config.seed, options.mosaic, zoom, options.stretch, self.data.landmarks.flip, self.degraded
        )
        scenes = Scenes(self.data, augmenter, epoch, close, self.propose)
        loader = DataLoader(
            scenes, batch_sampler=indices, num_workers=self.workers, worker_init_fn=end_with_parent, collate_fn=collate
        )
        choices = sizes(self.options.size, self.options.multi_scale)
        sides = random_numbers("size", config.seed, epoch).choice(choices, self.batches_per_epoch(config))[start:]
        for (pixels, boxes), side in zip(loader, sides.tolist(), strict=True):
            yield resized(pixels.float() / 255, boxes, side)

    def write(self, network: Any, folder: Path, **about: Any) -> None:
        """Write a model folder."""
        raise NotImplementedError

    def release(self, network: Any, folder: Path) -> dict[str, float]:
        """Write a model folder and measure what was written; AP on the first validation set with boxes comes first.

        Without such a set nothing is measured, and the last network counts as the best. The confidence with the best F1
        on that set becomes the model's default.
        """
        self.write(
            network, folder, name=folder.parent.name, classes=self.data.classes, defaults=DEFAULTS,
            size=self.options.size, stretch=self.options.stretch, **self.about,
        )  # fmt: skip
        detector, defaults = self.load(folder), dict(DEFAULTS)
        measured: dict[str, dict[str, float]] = {}
        for validation in (one for one in self.validations if one.data.has_boxes):
            rows = list(predict_rows(detector, validation.data.paths, MEASURING))
            table = Table.make(validation.data, rows)
            precision = measure_precision(table).metrics
            confidence, f1 = Sweep.make(table).best()
            if f1 and not measured:
                defaults["confidence"] = max(confidence, LOWEST_CONFIDENCE)
            measured[validation.name] = {key: round(precision[key], 4) for key in ("AP", "AP50")}
            if (error := landmark_error(validation.data, rows)) is not None:
                measured[validation.name]["landmark_error"] = round(error, 4)
        describe(folder, measured=measured, defaults=defaults)
        return {f"{name} {key}": figures[key] for name, figures in measured.items() for key in ("AP", "AP50")}

    def load(self, folder: Path) -> Detector:
        """Load what `release` wrote. Proposals of selective search are cached beside the folder."""
        detector = load_detector(folder.resolve())
        if self.propose is not None:
            from vision_app.detection.region_detector import RegionDetector  # whose import takes a second

            if isinstance(detector, RegionDetector):
                detector.propose = ProposalCache(folder.parent / "proposals")
        return detector


class DetectionTask(SceneTask):
    """Trains the grid detector."""

    def write(self, network: YOLO, folder: Path, **about: Any) -> None:
        """Write a model folder; see `export.write_model`."""
        write_model(network, folder, landmarks=self.data.landmarks, **about)

    def loss(
        self, images: Tensor, output: Tensor, targets: Sequence[LabeledBoxes]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of losses, the number of positives, and the sums of the loss's parts."""
        config = self.network.config
        grid = TorchGrid.make(images.shape[2], images.shape[3], config.strides, config.anchors, output.device)
        truth = [Targets.of(one, output.device) for one in targets]
        losses = detection_loss(output, truth, grid, label_smoothing=self.options.label_smoothing)
        positives = torch.tensor(float(losses.positives), device=output.device)
        return losses.total, positives, {name: part.detach() for name, part in losses.parts.items()}

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the mean loss over up to LOSS_IMAGES images of the first set with boxes, without augmentation."""
        data = next((one.data for one in self.validations if one.data.has_boxes), self.validations[0].data)
        chosen = data.subset(np.random.default_rng(0).permutation(len(data))[:LOSS_IMAGES].tolist())
        device = next(self.network.parameters()).device
        total, positives = 0.0, 0.0
        for images, boxes in plain_batches(chosen, self.options.size, self.options.stretch):
            images = images.to(device)
            loss, count, _ = self.loss(images, self.network(images), boxes)
            total, positives = total + loss.item(), positives + count.item()
        return total / max(positives, 1.0)


def predict_rows(detector: Detector, paths: Sequence[str], options: DetectOptions) -> Iterator[dict[str, Any]]:
    """Yield rows as `vision-app detect` writes them."""
    for path in paths:
        yield {"file": path, **detector(path, options).to_dict()}


def run_callbacks(task: SceneTask, log: Callable[[str], None], *, pretrained: bool) -> list[Any]:
    """Return TensorBoard logs, curves, the first batches, predictions beside ground truth, and a line of advice.

    Args:
        task: The training.
        log: Takes the line of advice.
        pretrained: Whether training starts from trained weights.
    """
    data, classes = task.validations[0].data, task.data.classes
    drawn = np.random.default_rng(0).permutation(len(data)).tolist()  # the same in every run on the same data
    order = sorted(drawn, key=lambda i: not len(data.samples[i].boxes.not_ignored))[:IMAGES]  # with boxes first
    scenes = [whole_scene(data, i) for i in order]

    def predict(model: Path, images: Sequence[np.ndarray]) -> list[LabeledBoxes]:
        found = task.load(model).predict([RGBImage(pixels, pixels.shape[1], pixels.shape[0]) for pixels in images])
        return [one.to_boxes(classes) for one in found]

    return [
        TensorBoard(),
        Curves(),
        FirstBatches(classes),
        Predictions([scene.pixels for scene in scenes], [scene.boxes for scene in scenes], classes, predict),
        Verdict(log, pretrained=pretrained, close_epochs=task.options.close_epochs if task.options.mosaic else 0),
    ]


def train(
    data: Path | Sequence[Path],
    validation: Path | Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: DetectionOptions = DetectionOptions(),
    *,
    initial: Path | None = None,
    teacher_boxes: Path | None = None,
    images: Sequence[Path] = (),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[Any] = (),
    run: Callable[..., dict[str, float]] = fit,
    task: type[SceneTask] = DetectionTask,
    start: Start = starting_network,
) -> dict[str, float]:
    """Train a detector; see `training.loop.fit` and `callbacks` for what `output` holds beside scan.csv.

    The classes are those of the data, or COCO's eighty with a teacher's boxes, which know these.

    `data` and `validation` are datasets as `data.detection.load_detection` takes them; see `datasets.load_datasets` for
    what is measured on without the latter. The AP on the first decides which network is best. Training starts from
    `initial`, a model, by its folder or name; `start` gives the network, see `initial.starting_network`, and `task` is
    the task of its kind. For `teacher_boxes` see `data.teacher`; `workers` is the number of processes that augment;
    `run` is what is done with the task, `fit` or `training.learning_rate.find_learning_rate`.

    Raises:
        DataError, ModelError, UsageError: Before training starts, with the file or option named.
    """
    check_run_folder(output, resume, SCAN)
    if options.transfer != "all" and initial is None:
        raise UsageError(f"--transfer {options.transfer}: there is nothing to transfer; --initial names a model")
    if initial is not None:
        find_model(initial)  # which fails before the data is read
    torch.manual_seed(config.seed)
    read = RunData(
        data, validation, options.size, config.seed, initial=initial, teacher_boxes=teacher_boxes, images=images,
        labeled=False, log=log,
    )  # fmt: skip
    network, about = start(initial, read.learned, options)
    for key, value in about.items():
        log(f"anchors: {key.replace('_', ' ')} {value}")
    set_trainable(network, options.transfer)
    read.write_reports(output)
    about = {"trained": read.trained(asdict(config) | asdict(options)), **about}
    learning = task(network, read.learned, read.validations, options, about=about, workers=workers)
    shown = rank_zero_only(run_callbacks, default=())(learning, log, pretrained=initial is not None)
    inputs = read.inputs(asdict(options))
    return run(learning, config, output, inputs=inputs, resume=resume, log=log, callbacks=(*shown, *callbacks))


IMAGES = 8  # validation images on which ground truth and predictions are shown
