"""All figures of one evaluation, computed once; `report` and `plots` present them."""

from dataclasses import dataclass

import numpy as np

from vision_app.core.errors import DataError
from vision_app.detection.evaluate.curves import Reliability, Sweep, precision_curves
from vision_app.detection.evaluate.matching import match
from vision_app.detection.evaluate.mistakes import confusion_matrix, costs, find_mistakes
from vision_app.detection.evaluate.precision import Precision, measure_precision
from vision_app.detection.evaluate.table import Table

STRICT = 0.75  # the IoU of the second precision-recall curve; the first is `OVERLAP`


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
