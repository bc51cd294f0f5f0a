"""All figures of one evaluation, computed once: as JSON, as CSV tables and as a summary to read."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import ArrayLike

from vision_app.batch.sinks import write_csv, write_text
from vision_app.core.boxes import xyxy_to_xywh
from vision_app.core.errors import DataError
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.core.text import amount
from vision_app.detection.base import DetectOptions
from vision_app.detection.evaluate.curves import RECALLS, Reliability, Sweep, precision_curves
from vision_app.detection.evaluate.matching import OVERLAP, match
from vision_app.detection.evaluate.mistakes import ERROR_KINDS, confusion_matrix, costs, find_mistakes
from vision_app.detection.evaluate.table import Table

MEASURING = DetectOptions(confidence=0.01, iou=0.6, max_detections=100)  # AP needs low scores too
METRICS = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")
STRICT = 0.75  # the IoU of the second precision-recall curve; the first is `OVERLAP`


@dataclass(frozen=True, eq=False)
class Precision:
    """COCO's figures, -1 where there is no such object.

    Attributes:
        metrics: By the names of `METRICS`: AP is the mean over IoU 0.50 to 0.95; small is below 32 x 32 pixels,
            medium below 96 x 96.
        by_class: (K, 2) AP and AP50 of each class.
    """

    metrics: dict[str, float]
    by_class: np.ndarray


def measure_precision(table: Table) -> Precision:
    """Run COCO's evaluation. Beyond the best 100 of an image and class, it leaves detections out."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(_ground_truth(table))
        answers = coco.loadRes(_rows(table.detection_images, table.detections, score=table.detections.scores))
        evaluation = COCOeval_faster(coco, answers, "bbox", print_function=lambda *_: None)
        evaluation.run()
    metrics = {name: float(value) for name, value in zip(METRICS, evaluation.stats[:6], strict=True)}
    curves = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, K): objects of all sizes
    return Precision(metrics, np.stack([curves.mean(axis=(0, 1)), curves[0].mean(axis=0)], axis=1))


def _ground_truth(table: Table) -> dict[str, Any]:
    ids = np.arange(1, len(table.ground_truth) + 1)  # COCO's code needs ids from 1
    crowds = table.ground_truth.ignored.astype(int)
    return {
        "images": [{"id": i} for i in range(table.images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(table.classes)],
        "annotations": _rows(table.ground_truth_images, table.ground_truth, area=table.areas, iscrowd=crowds, id=ids),
    }


def _rows(images: np.ndarray, boxes: LabeledBoxes, **more: np.ndarray) -> list[dict[str, Any]]:
    columns = {"image_id": images, "category_id": boxes.labels, "bbox": xyxy_to_xywh(boxes.xyxy), **more}
    lists = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a detector is on some images.

    Attributes:
        table: Ground truth and detections.
        precision: COCO's figures.
        curves: (K, 101) precision at `RECALLS` of each class at IoU 0.50, NaN for a class without objects.
        strict_curves: The same at IoU 0.75.
        sweep: Precision, recall and F1 of all classes together by confidence.
        class_sweeps: The same of each class.
        confidence: The one with the best F1, two digits.
        f1: The best F1.
        reliability: Calibration of the confidences.
        confusion: (K + 1, K + 1) what is taken for what at `confidence`, rows for the ground truth, background last.
        errors: (6,) number of errors of each of `ERROR_KINDS` at `confidence`.
        costs: (6,) rise of AP50 without each of `ERROR_KINDS`.
    """

    table: Table
    precision: Precision
    curves: np.ndarray
    strict_curves: np.ndarray
    sweep: Sweep
    class_sweeps: tuple[Sweep, ...]
    confidence: float
    f1: float
    reliability: Reliability
    confusion: np.ndarray
    errors: np.ndarray
    costs: np.ndarray


def evaluate(table: Table) -> Evaluation:
    """Compute all figures.

    Raises:
        DataError: There is no object to find.
    """
    if not table.wanted.any():
        raise DataError("the ground truth has no object to find; an evaluation needs some boxes")
    matches = match(table)
    sweep = Sweep.make(table, matches)
    confidence, f1 = sweep.best()
    shown = table.keep(detections=table.detections.scores >= confidence)  # what a user sees
    shown_matches = match(shown)
    return Evaluation(
        table=table,
        precision=measure_precision(table),
        curves=precision_curves(table, matches),
        strict_curves=precision_curves(table, match(table, STRICT)),
        sweep=sweep,
        class_sweeps=tuple(Sweep.make(table, matches, label) for label in range(len(table.classes))),
        confidence=confidence,
        f1=f1,
        reliability=Reliability.make(table, matches),
        confusion=confusion_matrix(shown, shown_matches),
        errors=find_mistakes(shown, shown_matches).counts(),
        costs=costs(table, matches, find_mistakes(table, matches)),
    )


ALL = "(all)"  # stands for all classes together where a table names a class
CONFIDENCES = np.linspace(0, 1, 101)
MOST_CLASSES, WEAKEST = 25, 10  # lines of the summary: with more classes than these, only the weakest

Sheet = tuple[Sequence[str], list[tuple[Any, ...]]]  # the names of a table's columns, and its lines


def tables(evaluation: Evaluation) -> dict[str, Sheet]:
    """Return the figures as tables, by name, rounded to 4 digits, with None where there is nothing to measure."""
    classes, bins = evaluation.table.classes, evaluation.reliability
    edges = bins.edges[:-1], bins.edges[1:]
    reliability = map(_plain, (*edges, bins.counts, bins.confidence, bins.precision))
    errors = ERROR_KINDS, _plain(evaluation.costs), _plain(evaluation.errors)
    confusion = zip((*classes, "background"), _plain(evaluation.confusion), strict=True)
    return {
        "classes": (("class", "boxes", "AP", "AP50", "f1", "confidence"), list(_class_lines(evaluation))),
        "precision_recall": (("iou", "class", "recall", "precision"), list(_recall_lines(evaluation))),
        "f1": (("class", "confidence", "precision", "recall", "f1"), list(_confidence_lines(evaluation))),
        "confusion": (("truth", *classes, "background"), [(name, *row) for name, row in confusion]),
        "errors": (("kind", "dAP50", "count"), list(zip(*errors, strict=True))),
        "reliability": (
            ("from", "to", "detections", "confidence", "precision"),
            list(zip(*reliability, strict=True)),
        ),
    }


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures as JSON values: those of `tables`, the curves only of all classes together."""
    sheets, table = tables(evaluation), evaluation.table
    best = _at(evaluation.sweep, np.array([evaluation.confidence]))
    mean_curves = _mean_curves(evaluation)
    return {
        "images": table.images,
        "boxes": int(table.wanted.sum()),
        "ignored_boxes": int(table.ground_truth.ignored.sum()),
        "detections": len(table.detections),
        **{name: _measured(value) for name, value in evaluation.precision.metrics.items()},
        "best_f1": {"f1": _plain(evaluation.f1)} | {name: column[0] for name, column in best.items() if name != "f1"},
        "expected_calibration_error": _plain(evaluation.reliability.error),
        **{name: [dict(zip(sheets[name][0], line, strict=True)) for line in sheets[name][1]]
           for name in ("classes", "errors", "reliability")},
        "confusion": {"classes": [*table.classes, "background"], "counts": evaluation.confusion.tolist()},
        "precision_recall": {"recall": _plain(RECALLS)} | {f"{iou:.2f}": _plain(c) for iou, c in mean_curves.items()},
        "f1": _at(evaluation.sweep, CONFIDENCES),
    }  # fmt: skip


def write_report(evaluation: Evaluation, folder: Path, about: dict[str, Any]) -> None:
    """Write `evaluation.json`, which starts with `about`, and a CSV file for each of `tables`.

    Raises:
        OutputError: Something could not be written.
    """
    for name, (columns, lines) in tables(evaluation).items():
        write_csv(folder / f"{name}.csv", columns, lines)
    write_text(folder / "evaluation.json", json.dumps(about | to_dict(evaluation), indent=1) + "\n")


def summary(evaluation: Evaluation) -> Iterator[str]:
    """Yield the figures that matter, in lines of text."""
    table, figures = evaluation.table, to_dict(evaluation)
    best = figures["best_f1"]
    wanted = f"{amount(figures['boxes'], 'object')} of {amount(int(np.count_nonzero(table.wanted)), 'class')}"
    ignored = f"{figures['ignored_boxes']:,} more do not count"
    yield f"{amount(table.images, 'image')}, {wanted} ({ignored}), {figures['detections']:,} detections"
    yield "  ".join(f"{name} {_text(figures[name])}" for name in evaluation.precision.metrics)
    yield (
        f"best F1 {best['f1']:.3f} at confidence {best['confidence']:.2f} "
        f"(precision {best['precision']:.3f}, recall {best['recall']:.3f})"
    )
    yield f"confidences are off by {figures['expected_calibration_error']:.3f} on average (expected calibration error)"
    shown = [row for row in figures["classes"] if row["boxes"]]
    if len(shown) > MOST_CLASSES:
        yield f"\nThe {WEAKEST} weakest of {len(shown)} classes:"
        shown = sorted(shown, key=lambda row: row["AP"])[:WEAKEST]
    else:
        yield ""
    width = max(len("class"), *(len(row["class"]) for row in shown))
    yield f"{'class':<{width}}   boxes     AP   AP50  best F1  at confidence"
    for row in shown:
        numbers = f"{row['AP']:5.3f}  {row['AP50']:5.3f}  {row['f1']:7.3f}  {row['confidence']:13.2f}"
        yield f"{row['class']:<{width}}  {row['boxes']:6,}  {numbers}"
    yield f"\n{'error':<16}{'costs AP50':>11}   number at confidence {best['confidence']:.2f}"
    for row in figures["errors"]:
        yield f"{row['kind']:<16}{row['dAP50']:>11.3f}{row['count']:>9,}"


def _class_lines(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    table, precisions = evaluation.table, evaluation.precision.by_class.tolist()
    parts = zip(table.classes, table.wanted.tolist(), precisions, evaluation.class_sweeps, strict=True)
    for name, boxes, precision, sweep in parts:
        confidence, f1 = sweep.best()
        yield (name, boxes, *map(_measured, precision), *((_plain(f1), confidence) if boxes else (None, None)))


def _recall_lines(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    curves = [(iou, ALL, curve) for iou, curve in _mean_curves(evaluation).items()]
    by_class = zip(evaluation.table.classes, evaluation.curves, evaluation.table.wanted, strict=True)
    curves += [(OVERLAP, name, curve) for name, curve, wanted in by_class if wanted]
    for iou, name, curve in curves:
        for recall, precision in zip(_plain(RECALLS), _plain(curve), strict=True):
            yield iou, name, recall, precision


def _confidence_lines(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    sweeps = zip((ALL, *evaluation.table.classes), (evaluation.sweep, *evaluation.class_sweeps), strict=True)
    for name, sweep in sweeps:
        if sweep.wanted:
            for line in zip(*_at(sweep, CONFIDENCES).values(), strict=True):
                yield name, *line


def _mean_curves(evaluation: Evaluation) -> dict[float, np.ndarray]:
    """Return precision at `RECALLS`, the mean over the classes with objects, by IoU."""
    curves = {OVERLAP: evaluation.curves, STRICT: evaluation.strict_curves}
    return {iou: np.nanmean(curve, axis=0) for iou, curve in curves.items()}


def _at(sweep: Sweep, confidences: np.ndarray) -> dict[str, list[float]]:
    there = sweep.at(confidences)
    columns = {"confidence": confidences, "precision": there.precision, "recall": there.recall, "f1": there.f1}
    return {name: _plain(column) for name, column in columns.items()}


def _plain(values: ArrayLike) -> Any:
    """Return numbers or arrays as Python's, rounded to 4 digits, with None for NaN."""
    rounded = np.round(np.asarray(values), 4)
    plain = np.array(rounded, object)
    plain[np.isnan(rounded)] = None
    return plain.tolist()


def _measured(value: float) -> Any:
    """Return None for COCO's -1, which stands for nothing to measure."""
    return None if value < 0 else _plain(value)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
