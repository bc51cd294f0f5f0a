"""How good a classifier is on images whose objects are known: as JSON, as CSV and as lines of text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.batch.sinks import write_csv, write_text
from vision_app.core.boxes import iou_matrix
from vision_app.data.names import canonical
from vision_app.data.samples import DetectionSet, presence

OVERLAP = 0.5  # IoU from which the best object's box is right


@dataclass(frozen=True, eq=False)
class ClassifierEvaluation:
    """How good a classifier is on some images.

    Attributes:
        classes: Names of the K classes of the ground truth.
        photos: (K,) number of images that show the class.
        precision: (K,) average precision of the ranking of images by the class's probability, NaN where none shows it,
            or all do, which any ranking gets right.
        located: Share of the images with a box of the best object, of one of these classes, whose box is right: it has
            an IoU of 0.5 or more with one of its class. NaN where there is no such image.
    """

    classes: tuple[str, ...]
    photos: np.ndarray
    precision: np.ndarray
    located: float

    @property
    def mean(self) -> float:
        """The mAP, the mean over all classes that some images show and others do not; NaN where there are none."""
        known = ~np.isnan(self.precision)
        return float(self.precision[known].mean()) if known.any() else float("nan")


def evaluate(data: DetectionSet, rows: Sequence[Mapping[str, Any]]) -> ClassifierEvaluation:
    """Compare a classifier's answers with the ground truth.

    An image counts for a class where its `presence` is known: not where all boxes of it are difficult or a crowd, nor
    where the image was not labeled for the class, or not exhaustively, and has no box of it.

    Args:
        data: The ground truth.
        rows: Rows of `vision-app classify --localize`, one for each sample, in order. The classes may go by other names
            of the same things: "couch" for VOC's "sofa". A class that the rows lack has probability 0.
    """
    truth = np.stack([presence(sample, len(data.classes)) for sample in data.samples])  # (n, K): 1, 0 or NaN
    found = [{one["label"]: one["probability"] for one in row["classes"]} for row in rows]
    names = [canonical(name) for name in data.classes]
    probabilities = np.array([
        [row.get(name, row.get(other, 0.0)) for name, other in zip(data.classes, names, strict=True)] for row in found
    ])  # fmt: skip
    precision = [average_precision(truth[:, k], probabilities[:, k]) for k in range(len(data.classes))]
    return ClassifierEvaluation(data.classes, (truth == 1).sum(axis=0), np.array(precision), _located(data, rows))


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean, over the images that show a class, of the precision among all that are at least as probable.

    That is the sum over thresholds of precision times the rise of recall, without any interpolation.

    Args:
        truth: (n,) 1 where an image shows the class, 0 where not, NaN where it does not count.
        probabilities: (n,) of the class in each image.

    Returns:
        0 to 1, NaN where no image that counts shows the class or all do.
    """
    known = ~np.isnan(truth)
    order = np.argsort(-probabilities[known], kind="stable")
    truth, falling = truth[known][order], -probabilities[known][order]
    if not truth.any() or truth.all():
        return float("nan")
    level = np.searchsorted(falling, falling, side="right")  # how many are at least as probable as each
    return float((truth.cumsum()[level - 1] / level)[truth == 1].mean())


def _located(data: DetectionSet, rows: Sequence[Mapping[str, Any]]) -> float:
    names = [canonical(name) for name in data.classes]
    right = []
    for sample, row in zip(data.samples, rows, strict=True):
        label = canonical(row["classes"][0]["label"])
        if row["box"] is not None and label in names:
            k = names.index(label)
            mine = sample.boxes.xyxy[sample.boxes.labels == k]
            right.append(bool((iou_matrix(np.array([row["box"]]), mine) >= OVERLAP).any()))
    return float(np.mean(right)) if right else float("nan")


COLUMNS = ("class", "photos", "AP")


def to_dict(evaluation: ClassifierEvaluation) -> dict[str, Any]:
    """Return the metrics as JSON values, rounded to 4 digits, None where there is nothing to measure."""
    return {
        "mAP": _plain(evaluation.mean),
        "located": _plain(evaluation.located),
        "classes": [dict(zip(COLUMNS, line, strict=True)) for line in _lines(evaluation)],
    }


def write_report(evaluation: ClassifierEvaluation, folder: Path, about: dict[str, Any]) -> None:
    """Write `evaluation.json`, which starts with `about`, and `classes.csv`.

    Raises:
        OutputError: Something could not be written.
    """
    write_csv(folder / "classes.csv", COLUMNS, _lines(evaluation))
    write_text(folder / "evaluation.json", json.dumps(about | to_dict(evaluation), indent=1) + "\n")


def summary(evaluation: ClassifierEvaluation) -> Iterator[str]:
    """Yield the metrics in lines of text, the weakest classes last."""
    shown = [line for line in _lines(evaluation) if line[2] is not None]
    over = f"{len(shown)} class{'es' * (len(shown) != 1)}"
    yield f"mAP {evaluation.mean:.3f} over {over}" if shown else "no mAP: no class can be judged"
    if always := [name for name, photos, precision in _lines(evaluation) if photos and precision is None]:
        yield f"not judged, since every photo that counts shows them: {', '.join(always)}"
    if not np.isnan(evaluation.located):
        yield f"the box of the best object is right in {evaluation.located:.1%} of the photos with one"
    if not shown:
        return
    width = max(len(name) for name, *_ in [COLUMNS, *shown])
    yield f"\n{'class':<{width}}  photos     AP"
    for name, photos, precision in sorted(shown, key=lambda line: -line[2]):
        yield f"{name:<{width}}  {photos:6,}  {precision:5.3f}"


def _lines(evaluation: ClassifierEvaluation) -> list[tuple[Any, ...]]:
    photos, precision = evaluation.photos.tolist(), map(_plain, evaluation.precision)
    return list(zip(evaluation.classes, photos, precision, strict=True))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
