"""The checks of `vision-app check` before a detector's long run: the data, the losses, the batches, the network."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from vision_app.core.boxes import iou_matrix
from vision_app.core.errors import DataError, UsageError
from vision_app.core.files import refuse_existing, refuse_sources
from vision_app.core.images import write_image
from vision_app.core.labeled_boxes import LabeledBoxes, missing_landmarks
from vision_app.core.letterbox import Letterbox
from vision_app.data.detection import open_dataset
from vision_app.data.samples import DetectionSet
from vision_app.data.scan import scan, summarize
from vision_app.data.scan_report import write_reports
from vision_app.detection.evaluate.matching import landmark_errors
from vision_app.detection.grid import T_W, T_X
from vision_app.detection.grid_detector import GridDetector, GridOutput
from vision_app.detection.model.yolo import YOLO, Targets, TorchGrid
from vision_app.detection.train.batches import plain_batches
from vision_app.detection.train.datasets import SCAN
from vision_app.detection.train.initial import starting_network
from vision_app.detection.train.loss import detection_loss, giou
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DetectionTask
from vision_app.released.find import Model
from vision_app.training.augment import LARGEST_ZOOM
from vision_app.training.checks import GRADIENT_BOUND, Check, gradient_errors, overfit
from vision_app.training.config import TrainConfig
from vision_app.training.contact_sheet import contact_sheet
from vision_app.training.progress import Progress
from vision_app.training.runs import SETTINGS, check_folder

SHEETS, IMAGES = 3, 16  # contact sheets, and images on each
OVERFITTED, STEPS, LINES = 4, 300, 25  # overfitting: images, steps at most, steps between looks at what is found
LEFT = 0.1  # of the first loss, at most, in the end; IoUs as targets of scores leave some even to perfect boxes
FOUND = 0.8  # of the batch's boxes, at least, as tiny ones may stay out; for ten boxes two more may be found
OVERFIT_ADVICE = "; check there that the ground-truth boxes fit, then try a larger --size or --model yolo"
SCORE, IOU = 0.3, 0.5  # from which on a box counts as found
OFF = 0.1  # largest mean error of landmarks, as a part of their objects' size


def run_checks(
    path: Path,
    output: Path,
    options: DetectionOptions,
    *,
    initial: Path | None,
    images: Sequence[Path] = (),
    log: Callable[[str], None],
    overwrite: bool = False,
) -> Iterator[Check]:
    """Run all checks one after the other, up to the network if there is none to start from, as with too few boxes.

    Leaves in `output`: scan.csv with everything odd about the data; batch-1.png and so on, the first batches as the
    network would get them; overfit.png, ground truth and predictions on the batch that was overfitted.

    Args:
        path: A set as `open_dataset` takes it; all of its splits are checked.
        output: Folder to write to.
        options: Options of the training.
        initial: What training would start from, see `initial.starting_network`.
        images: Folders that have the images, if they are not where the format has them.
        log: Takes lines of progress.
        overwrite: Whether to replace what an earlier check left in `output`.

    Raises:
        DataError: The data cannot be used at all.
        ModelError: `initial` cannot be used.
        UsageError: There is a run or an earlier check in `output`, or an option does not fit.
    """
    if os.path.lexists(output / SETTINGS):
        raise UsageError(f"--output {output}: holds a run; choose another folder")
    check_folder(output, SCAN)
    refuse_existing([output / SCAN], overwrite)
    data = open_dataset(path, images).load()
    refuse_sources(
        [output / SCAN, output / "overfit.png", *output.glob("batch-*.png")],
        [path, *(sample.path for sample in data.samples)],
    )
    data = scan(data, target=round(LARGEST_ZOOM * options.size), log=log)
    torch.manual_seed(0)
    try:
        network, _ = starting_network(initial, data, options)
    except DataError as error:
        network, reason = None, str(error)
    for line in summarize(path.name, data):
        log(line)
    output.mkdir(parents=True, exist_ok=True)
    write_reports(output / SCAN, {path.name: data.report})
    yield check_data(data)
    yield check_gradients()
    if network is None:
        yield Check("network", False, reason)
        return
    task = DetectionTask(network, data, options=options, workers=0)
    yield check_batches(task, output)
    yield check_overfit(task, output, log)


def check_data(data: DetectionSet) -> Check:
    """Check a scanned set: fail if ground truth had to be left out or there is nothing to learn; report the rest."""
    boxes = sum(data.boxes_per_class().values())
    what = f"{len(data):,} images with {boxes:,} boxes of {len(data.classes)} classes"
    odd = ", ".join(f"{count:,} x {kind}" for kind, count in data.report.kinds.items())
    what += f"; {odd} (see scan.csv)" if odd else ""
    if not boxes:
        return Check("data", False, f"{what}; there is nothing to learn: check that the labels are where they belong")
    if data.report.faults:
        return Check("data", False, f"{what}; fix what is listed there, or train on the rest")
    return Check("data", True, what)


def check_gradients() -> Check:
    """Compare the gradient of every loss of our own with finite differences, see `gradient_errors`."""
    errors = loss_errors()
    wrong = {name: error for name, error in errors.items() if not error < GRADIENT_BOUND}
    error = max((wrong or errors).values())
    verdict = f"{', '.join(wrong or errors)} {'differ from' if wrong else 'equal'} finite differences"
    verdict += f", relative error up to {error:.0e} (bound {GRADIENT_BOUND:.0e})"
    return Check(
        "gradients", not wrong, verdict + "; a bug in this program or in torch, not a fault of the data" * bool(wrong)
    )


def loss_errors() -> dict[str, float]:
    """Return relative errors of the gradients of the detector's losses, by name, on a made-up image of 32 pixels."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def boxes(count: int) -> Tensor:
        center, side = 16 + 5 * random(count, 2), 12 + 3 * random(count, 2)
        return torch.cat([center - side / 2, center + side / 2], dim=1)

    grid = TorchGrid.make(32, 32, (8, 16, 32), (((10.0, 14.0),), ((18.0, 12.0),), ((28.0, 24.0),)))
    scores = torch.tensor([1.0, 0.7], dtype=torch.float64)
    points = 16 + 6 * random(2, 1, 2)
    points[1] = torch.nan  # not known
    target = Targets(boxes(2), torch.tensor([0, 1]), scores, points, ignored=boxes(1), proposals=torch.zeros(0, 4))
    raw = random(1, len(grid.cells), 5 + 2 + 2)
    raw[..., T_X : T_W + 1] *= 0.3
    names: list[str] = []

    def terms(raw: Tensor) -> Tensor:
        parts = detection_loss(raw, [target], grid, label_smoothing=0.1).parts
        names[:] = parts
        return torch.stack(list(parts.values()))

    (error,) = gradient_errors(lambda a, b: giou(a, b).sum(), [boxes(8), boxes(8)])
    return {"giou": error} | dict(zip(names, gradient_errors(terms, [raw]), strict=True))


def check_batches(task: DetectionTask, output: Path) -> Check:
    """Draw the first augmented batches with their targets; fail if there is no box on them."""
    batches = islice(task.batches(TrainConfig(batch_size=IMAGES), epoch=0), SHEETS)
    images_drawn = boxes_drawn = sheets = 0
    for images, boxes in batches:
        sheets += 1
        images_drawn, boxes_drawn = images_drawn + len(images), boxes_drawn + sum(len(one.not_ignored) for one in boxes)
        write_image(output / f"batch-{sheets}.png", contact_sheet(images, boxes, task.data.classes))
    where = "batch-1.png" if sheets == 1 else f"batch-1.png to batch-{sheets}.png"
    if boxes_drawn:
        advice = "check that boxes and objects fit"
    else:
        advice = "they are too small; try a larger --size" if task.data.has_boxes else "the data has none"
    return Check(
        "batches", boxes_drawn > 0, f"{images_drawn} augmented images with {boxes_drawn} boxes in {where}; {advice}"
    )


def check_overfit(task: DetectionTask, output: Path, log: Callable[[str], None], steps: int = STEPS) -> Check:
    """Train the task's network on a few images, as they are, until it overfits them.

    Passed if the loss falls under a tenth of where it began, and the network's detections match the boxes: eight of ten
    are found, with their class, at an IoU of 0.5 and a score of 0.3, and hardly any besides. If in the end all are
    found and none besides, the loss does not matter. Landmarks, if there are any, must be where they should.

    Args:
        task: The training, of which the network is changed.
        output: Folder for overfit.png.
        log: Takes lines of progress.
        steps: After which to give up.
    """
    data = task.data
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    chosen = data.subset([i for i in order if len(data.samples[i].boxes.not_ignored)][:OVERFITTED])
    if not len(chosen):
        return Check("overfit", False, "there is no box to learn")
    images, targets = next(plain_batches(chosen, task.options.size, task.options.stretch))
    total = sum(len(boxes.not_ignored) for boxes in targets)
    if not total:
        return Check(
            "overfit", False, f"no box is left of the images at {task.options.size} pixels; try a larger --size"
        )

    def loss(result: Tensor) -> Tensor:
        losses, positives, _ = task.loss(images, result, targets)
        return losses / positives.clamp(min=1)

    pointed = [data.classes.index(name) for name in data.landmarks.classes]
    losses, passed, progress = [], False, Progress(steps, LINES)
    for value in overfit(task.network, images, loss, steps=steps):
        losses.append(value)
        if left := progress.left(len(losses)):
            log(f"overfitting {len(images)} images: step {len(losses)} of at most {steps}, loss {value:.3g}, {left}")
        if len(losses) % LINES == 0 or len(losses) == steps:
            found, right, others = predictions(task.network, images, targets, pointed)
            off = mean_landmark_error(found, targets) if pointed else 0.0
            passed = value <= LEFT * losses[0] and right >= FOUND * total and others <= (1 - FOUND) * total
            passed = (passed or (len(losses) == steps and right == total and not others)) and off <= OFF
            if passed:
                break
    pairs = [each for pair in zip(targets, found, strict=True) for each in pair]
    shown = images.repeat_interleave(2, dim=0)
    captions = ["ground truth", "detected"] * len(images)
    write_image(output / "overfit.png", contact_sheet(shown, pairs, data.classes, captions=captions))
    fell = f"loss from {losses[0]:.3g} to {losses[-1]:.3g} ({losses[-1] / losses[0]:.0%}, bound {LEFT:.0%})"
    what = f"{right} of {total} boxes found and {others} others (overfit.png)"
    if pointed:
        what += f", landmarks off by {off:.1%} of their objects' size (bound {OFF:.0%})"
    advice = "" if passed else OVERFIT_ADVICE
    return Check("overfit", passed, f"{fell} in {len(losses)} steps on {len(images)} images, {what}{advice}")


@torch.no_grad()
def predictions(
    network: YOLO, images: Tensor, targets: Sequence[LabeledBoxes], pointed: Sequence[int] = ()
) -> tuple[list[LabeledBoxes], int, int]:
    """Run a network on a batch, in the mode that it is in.

    Args:
        network: The network.
        images: (B, 3, H, W) in 0..1.
        targets: The ground truth of each image.
        pointed: Classes whose objects have landmarks.

    Returns:
        The boxes found in each image, to draw over its ignored ones; how many of the ground-truth boxes were found; how
        many others were, without those in ignore regions.
    """
    outputs, (height, width) = network(images).numpy(), images.shape[2:]
    raw = [GridOutput(output, (height, width), Letterbox(width, height, 1.0, 1.0)) for output in outputs]
    drawn, right, others = [], 0, 0
    reader = _reader(network, pointed)
    answers = reader.postprocess(raw)
    for answer, target in zip(answers, targets, strict=True):
        found, wanted, ignored = answer.to_boxes(reader.classes), target.not_ignored, target[target.ignored]
        hits = (iou_matrix(wanted.xyxy, found.xyxy) >= IOU) & (wanted.labels[:, None] == found.labels)  # (M, K)
        excused = (iou_matrix(ignored.xyxy, found.xyxy) >= IOU).any(axis=0)
        right += int(hits.any(axis=1).sum())
        others += int((~hits.any(axis=0) & ~excused).sum())
        points = missing_landmarks(len(ignored), found.landmarks.shape[1])
        drawn.append(LabeledBoxes.concatenate([found, replace(ignored, landmarks=points)]))
    return drawn, right, others


def mean_landmark_error(found: Sequence[LabeledBoxes], targets: Sequence[LabeledBoxes]) -> float:
    """Return the mean of `landmark_errors` over a batch, 0 where no landmark is known."""
    errors = [landmark_errors(target.not_ignored, one.not_ignored) for one, target in zip(found, targets, strict=True)]
    return float(np.concatenate([np.zeros(1), *errors]).sum() / max(1, sum(map(len, errors))))


def _reader(network: YOLO, pointed: Sequence[int]) -> GridDetector:
    """Return a detector to read the network's output with; classes are named by their indices."""
    config = network.config
    info = {
        "classes": list(map(str, range(config.classes))),
        "landmarks": {"names": list(map(str, range(config.landmarks))), "classes": list(map(str, pointed))},
        "architecture": {"strides": list(config.strides), "anchors": list(config.anchors)},
        "input": {"size": 0, "pad": 0},  # it gets no images
        "defaults": {"confidence": SCORE, "iou": IOU, "max_detections": 100},
    }
    return GridDetector(Model("", Path(), info), SimpleNamespace(runtime="torch", device="cpu"))
