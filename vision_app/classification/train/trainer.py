"""What training a classifier consists of: its data, its loss, its metrics. For `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from vision_app.classification.classifier import Classifier
from vision_app.classification.evaluate.evaluation import evaluate, to_dict
from vision_app.classification.model.network import ClassifierNetwork, from_detector
from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import UsageError, unknown
from vision_app.data.samples import DetectionSet, presence
from vision_app.detection.grid import FIRST_CLASS
from vision_app.detection.model.build import load_network
from vision_app.detection.model.yolo import YOLO, ByteInput
from vision_app.detection.train.datasets import SCAN, RunData
from vision_app.detection.train.export import write_letterboxed
from vision_app.detection.train.initial import find_model, with_classes
from vision_app.detection.train.trainer import ImageTask
from vision_app.released.names import DETECTOR
from vision_app.released.write import describe
from vision_app.training.augment import Augmenter, whole_scene
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import TRANSFER, freeze, set_trainable
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices

STEPS = ("pooling", *TRANSFER)


@dataclass(eq=False, kw_only=True)
class ClassifierTask(ImageTask):
    """Trains a classifier; a `training.task.TrainingTask`.

    Attributes:
        size: See `letterbox.letterbox_shape`.
        stretch: See there.
        taught: See `data.samples.presence`.
    """

    size: int
    stretch: float
    taught: bool = False

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented batches of an epoch, (B, 3, S, S) in 0..1 and (B, p) of `presence`.

        See `training.task.TrainingTask`.

        Raises:
            DataError: There are fewer images than processes.
        """
        indices = batch_indices(len(self.data), config, epoch, rank=rank, world=world, start=start)
        augmenter = Augmenter(self.size, config.seed, mosaic=0.0, stretch=self.stretch)
        images = PresenceDataset(self.data, augmenter, epoch, self.taught)
        for pixels, targets in DataLoader(
            images, batch_sampler=indices, num_workers=self.workers, worker_init_fn=end_with_parent
        ):
            yield pixels.float() / 255, targets

    def loss(self, images: Tensor, output: Any, targets: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of binary cross-entropies of all known targets and the number of present classes."""
        known = ~targets.isnan()
        logits, wanted = output[:, FIRST_CLASS:][known], targets.to(output.device)[known]
        return F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="sum"), wanted.sum(), {}

    def release(self, network: Any, folder: Path) -> dict[str, float]:
        """Write a model folder and measure what was written; mAP on the first validation set comes first.

        A metric that there is nothing to measure for is left out. Those of a set without mAP are in model.json alone:
        whether images have a box at all may change from one epoch to the next, and the first metric decides.
        """
        write_model(
            network, folder, name=folder.parent.name, classes=self.data.classes, size=self.size, stretch=self.stretch,
            **self.about,
        )  # fmt: skip
        classifier = Classifier.load(folder.resolve())
        measured: dict[str, dict[str, float]] = {}
        for validation in self.validations:
            rows = [classifier(path).to_dict(localize=True) for path in validation.data.paths]
            found = to_dict(evaluate(validation.data, rows))
            measured[validation.name] = {key: found[key] for key in ("mAP", "located") if found[key] is not None}
        describe(folder, measured=measured)
        ranked = {name: figures for name, figures in measured.items() if "mAP" in figures}
        return {f"{name} {key}": value for name, figures in ranked.items() for key, value in figures.items()}


def train(
    data: Path | Sequence[Path],
    validation: Path | Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    initial: Path = Path(DETECTOR),
    transfer: str = "pooling",
    teacher_boxes: Path | None = None,
    images: Sequence[Path] = (),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[Any] = (),
) -> dict[str, float]:
    """Train a classifier that starts from a detector; see `training.loop.fit`.

    The classes are those of the data, or COCO's eighty with a teacher's boxes, which know these.

    Training starts from `initial`, a grid detector, by its folder or name. `transfer` says what of it is trained:
    "pooling" leaves the detector inside as it is, and with it the boxes; for the others see
    `training.initialize.set_trainable`. The mAP on the first dataset that is measured on decides which network is best.
    All else is as in `train` of a detector.

    Raises:
        DataError, ModelError, UsageError: Before training starts, with the file or option named.
    """
    if transfer not in STEPS:
        raise UsageError("--transfer: " + unknown("choice", transfer, STEPS))
    check_run_folder(output, resume, SCAN)
    model = find_model(initial)
    detector, size = load_network(model, YOLO), model.value("input.size", int)
    read = RunData(
        data, validation, size, config.seed, initial=initial, teacher_boxes=teacher_boxes, images=images, labeled=True,
        log=log,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    network = from_detector(with_classes(detector, model.classes, read.learned.classes))
    set_trainable(network, "head" if transfer == "pooling" else transfer)
    if transfer == "pooling":
        freeze(network.heads)
    read.write_reports(output)
    task = ClassifierTask(
        network, read.learned, read.validations, size=size, stretch=model.info["input"].get("stretch", 1.0),
        taught=bool(teacher_boxes), about={"trained": read.trained({"transfer": transfer} | asdict(config))},
        workers=workers,
    )  # fmt: skip
    inputs = read.inputs({"transfer": transfer})
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=callbacks)


class PresenceDataset(Dataset[tuple[Tensor, Tensor]]):
    """The augmented images of one epoch, (3, size, size) uint8 each with its `presence`, decoded on demand.

    Args:
        data: The images.
        augmenter: Without mosaic, whose many small images have little in common with one.
        epoch: Counted from 0.
        taught: See `presence`.
    """

    def __init__(self, data: DetectionSet, augmenter: Augmenter, epoch: int, taught: bool):
        self.data, self.augmenter, self.epoch, self.taught = data, augmenter, epoch, taught

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.data.samples[index]
        scene = self.augmenter(lambda _: whole_scene(self.data, index), len(self), self.epoch, index, True)
        target = presence(sample, len(self.data.classes), visible=scene.boxes, taught=self.taught)
        return torch.from_numpy(scene.pixels).permute(2, 0, 1), torch.from_numpy(target)


CONFIDENCE = 0.5  # probability from which a class counts as present: more likely there than not


def write_model(
    network: ClassifierNetwork, folder: Path, *, classes: Sequence[str], stretch: float = 1.5, **about: Any
) -> None:
    """Write the folder of a classifier, with weights in half precision; see `write_letterboxed`."""
    output = f"batch, 5 + {len(classes)}: row of the best object, t_x, t_y, t_h, t_w, classes; logits and offsets"
    write_letterboxed(
        network, folder, task="classification", classes=classes, stretch=stretch, output=output, exported=ByteInput,
        architecture=network.config.to_dict() | {"type": "classifier"}, defaults={"confidence": CONFIDENCE}, half=True,
        **about,
    )  # fmt: skip
