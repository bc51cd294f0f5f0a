"""What training a classifier means: its data, its loss, its measure. The loop itself is `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric.utilities import rank_zero_only
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vision_app.classification.classifier import Classifier
from vision_app.classification.evaluate.evaluation import evaluate
from vision_app.classification.evaluate.report import to_dict
from vision_app.classification.model.network import ClassifierNetwork, from_detector
from vision_app.classification.train.batches import Views
from vision_app.classification.train.export import write_model
from vision_app.core.errors import UsageError, unknown
from vision_app.data.names import COCO_CLASSES
from vision_app.data.samples import DetectionSet
from vision_app.data.scan_report import write_reports
from vision_app.data.teacher import add_teacher_boxes
from vision_app.detection.grid import FIRST_CLASS
from vision_app.detection.train.datasets import ValidationSet, load_datasets
from vision_app.detection.train.initial import released_network, with_classes
from vision_app.detection.train.trainer import find_model, identity
from vision_app.released.write import describe
from vision_app.training.augment import LARGEST_ZOOM, Augmenter
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import TRANSFER, freeze, set_trainable
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

STEPS = ("pooling", *TRANSFER)
SCAN = "scan.csv"  # in the folder of every run: what is odd about its data


class ClassifierTask:
    """A `training.loop.Task`.

    Args:
        network: to train.
        data: scanned, of the network's classes.
        validations: to measure on; the first decides.
        size, stretch: see `letterbox.letterbox_shape`.
        taught: see `presence.presence`.
        about: more for model.json.
        workers: processes that augment.
    """

    def __init__(
        self,
        network: ClassifierNetwork,
        data: DetectionSet,
        validations: Sequence[ValidationSet] = (),
        *,
        size: int,
        stretch: float,
        taught: bool = False,
        about: dict | None = None,
        workers: int = 1,
    ):
        self.network, self.data, self.validations = network, data, validations
        self.size, self.stretch, self.taught = size, stretch, taught
        self.about, self.workers = about or {}, workers

    def batches_per_epoch(self, config: TrainConfig) -> int:
        return batches_per_epoch(len(self.data), config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented batches of an epoch, (B, 3, S, S) in 0..1 and (B, p) of `presence`; see `training.loop.Task`.

        Raises:
            DataError: there are fewer photos than processes.
        """
        indices = batch_indices(len(self.data), config, epoch, rank=rank, world=world, start=start)
        augmenter = Augmenter(self.size, config.seed, mosaic=0.0, stretch=self.stretch)
        views = Views(self.data, augmenter, epoch, self.taught)
        for pixels, targets in DataLoader(views, batch_sampler=indices, num_workers=self.workers):
            yield pixels.float() / 255, targets

    def loss(self, images: Tensor, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The sum of binary cross-entropies of all classes that the targets tell, the number of classes that are there,
        and nothing more.
        """
        known = ~targets.isnan()
        logits, wanted = output[:, FIRST_CLASS:][known], targets.to(output.device)[known]
        return F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="sum"), wanted.sum(), {}

    def release(self, network: ClassifierNetwork, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures what was written; mAP on the first validation set comes first.

        A figure that there is nothing to measure for is left out. Of a set without mAP, model.json alone gets figures:
        whether photos have a box at all may change from one epoch to the next, and the first figure decides.
        """
        write_model(
            network, folder, name=folder.parent.name, classes=self.data.classes, size=self.size, stretch=self.stretch,
            **self.about,
        )  # fmt: skip
        classifier, measured = Classifier.load(folder.resolve()), {}
        for validation in self.validations:
            rows = [classifier(path).to_dict(localize=True) for path in validation.data.paths]
            found = to_dict(evaluate(validation.data, rows))
            measured[validation.name] = {key: found[key] for key in ("mAP", "located") if found[key] is not None}
        describe(folder, measured=measured)
        ranked = {name: figures for name, figures in measured.items() if "mAP" in figures}
        return {f"{name} {key}": value for name, figures in ranked.items() for key, value in figures.items()}


def train(
    data: Sequence[Path],
    validation: Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    initial: Path = Path("yolo"),
    transfer: str = "pooling",
    teacher_boxes: Path | None = None,
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence = (),
) -> dict[str, float]:
    """Trains a classifier that starts from a detector; see `training.loop.fit`.

    The classes are those of the data, or COCO's eighty with a teacher's boxes, which know these.

    Args:
        data, validation: sets as `data.detection.load_detection` takes them; see `datasets.load_datasets`. The mAP on
            the first of what is measured on decides which network is best.
        initial: a grid detector, by its folder or name.
        transfer: what is trained of it: "pooling" leaves the detector inside as it is, and with it the boxes; for the
            others see `training.initialize.set_trainable`.
        teacher_boxes: see `data.teacher`.
        workers: processes that augment.
        callbacks: see `training.task.Callback`.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    if transfer not in STEPS:
        raise UsageError("--transfer: " + unknown("choice", transfer, STEPS))
    check_run_folder(output, resume, SCAN)
    model = find_model(initial)
    detector, size = released_network(model), model.value("input.size", int)
    learned, validations, scanned = load_datasets(
        data, validation, classes=COCO_CLASSES if teacher_boxes else None, target=round(LARGEST_ZOOM * size),
        seed=config.seed, taught=True, log=log,
    )  # fmt: skip
    if teacher_boxes:
        learned = add_teacher_boxes(learned, teacher_boxes)
    torch.manual_seed(config.seed)
    network = from_detector(with_classes(detector, model.classes, learned.classes))
    set_trainable(network, "head" if transfer == "pooling" else transfer)
    if transfer == "pooling":
        freeze(network.heads)
    output.mkdir(parents=True, exist_ok=True)
    rank_zero_only(write_reports)(output / SCAN, {name: one.report for name, one in scanned.items()})
    inputs = {"initial": identity(initial), "teacher_boxes": identity(teacher_boxes), "transfer": transfer}
    trained = {"photos": len(learned), "initial": inputs["initial"], "transfer": transfer, **asdict(config)}
    task = ClassifierTask(
        network, learned, validations, size=size, stretch=model.info["input"].get("stretch", 1.0),
        taught=bool(teacher_boxes), about={"trained": trained}, workers=workers,
    )  # fmt: skip
    inputs["data"] = f"{', '.join(path.name for path in data)} {learned.digest()}"
    inputs["validation"] = ", ".join(f"{one.name} {one.data.digest()}" for one in validations)
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)
