"""Evaluation of detections against ground truth: average precision, and all that explains it."""

from collections.abc import Iterable, Mapping
from typing import Any

from vision_app.data.samples import DetectionSet
from vision_app.detection.evaluate.curves import Sweep
from vision_app.detection.evaluate.matching import match
from vision_app.detection.evaluate.precision import MEASURING, measure_precision
from vision_app.detection.evaluate.table import Table

__all__ = ["MEASURING", "average_precision", "best_confidence"]


def average_precision(data: DetectionSet, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return COCO's metrics over the images of a set; arguments and errors are those of `Table.make`.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, APsmall, APmedium, APlarge; -1 where there is no such object.
    """
    return measure_precision(Table.make(data, rows)).metrics


def best_confidence(data: DetectionSet, rows: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the confidence at which the F1 of all detections together is best; see `Sweep.best`.

    Args:
        data: As for `Table.make`.
        rows: As for `Table.make`; they must include low scores.
    """
    table = Table.make(data, rows)
    return Sweep.make(table, match(table)).best()
