"""Errors of a detector: which classes are taken for which, and the kinds of errors with what each costs."""

from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.boxes import iou_matrix
from vision_app.detection.evaluate.curves import precision_curves
from vision_app.detection.evaluate.matching import OVERLAP, Matches, groups, match
from vision_app.detection.evaluate.table import Table

ERROR_KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(ERROR_KINDS))
NEAR = 0.1  # IoU from which a detection is about an object at all


def confusion_matrix(table: Table, matches: Matches) -> np.ndarray:
    """Count what objects are taken for.

    True positives come first, so that the diagonal has all that `match` finds right. Then false positives meet objects
    of other classes that nothing found, by the same rules but for the class; the rest is background.

    Args:
        table: Only with the detections that a user would see, those above some confidence.
        matches: The `match` of the table.

    Returns:
        (K + 1, K + 1) counts: row for what is there, column for what is detected; the last row is for detections where
        nothing is, the last column for objects that nothing found.
    """
    rest = table.keep(detections=matches.false_positives, ground_truth=matches.missed(table))
    confused = match(rest, by_class=False)
    right, taken, background = matches.true_positives, confused.true_positives, len(table.classes)
    matrix = np.zeros((background + 1, background + 1), int)
    np.add.at(matrix, (table.detections.labels[right],) * 2, 1)
    np.add.at(matrix, (rest.ground_truth.labels[confused.matched[taken]], rest.detections.labels[taken]), 1)
    np.add.at(matrix, (background, rest.detections.labels[confused.false_positives]), 1)
    np.add.at(matrix, (rest.ground_truth.labels[confused.missed(rest)], background), 1)
    return matrix


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The kinds of errors of TIDE (Bolya et al., 2020), each false positive of one kind.

    Attributes:
        kind: (N,) index of `ERROR_KINDS`, -1 for a detection that is not wrong.
        target: (N,) for classification and localization, the ground-truth box that the detection was about, else -1.
        missed: (M,) bool, ground-truth boxes that nothing found and no detection of these two kinds was about.
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray

    def counts(self) -> np.ndarray:
        """Return (6,), the number of errors of each of `ERROR_KINDS`."""
        return np.append(np.bincount(self.kind[self.kind >= 0], minlength=MISSED), self.missed.sum())


def find_mistakes(table: Table, matches: Matches) -> Mistakes:
    """Sort a table's errors by the ground-truth boxes that a false positive overlaps most, ignored ones left out.

    ==============  ====================  =====================
    kind            IoU, its own class    IoU, another class
    ==============  ====================  =====================
    duplicate       0.5 or more
    localization    0.1 to 0.5
    classification  below 0.1             0.5 or more
    both            below 0.1             0.1 to 0.5
    background      below 0.1             below 0.1
    ==============  ====================  =====================

    TIDE's own code tests for classification before duplicate: a second box on a found object that overlaps one of
    another class by 0.5, too, is a classification error there. Here its own class always comes first.

    Args:
        table: Ground truth and detections.
        matches: The `match` of the table.
    """
    detections, ground_truth = table.detections, table.ground_truth
    same, other = (np.zeros(len(detections)) for _ in range(2))  # the largest IoU with a box of its, another class
    same_box, other_box = (np.full(len(detections), -1) for _ in range(2))
    true_indices = np.flatnonzero(~ground_truth.ignored)
    for found, places in groups(table.detection_images, table.ground_truth_images[true_indices]):
        true = true_indices[places]
        ious = iou_matrix(detections.xyxy[found], ground_truth.xyxy[true])  # (n, m)
        is_same = detections.labels[found, None] == ground_truth.labels[true]
        for mask, best, box in ((is_same, same, same_box), (~is_same, other, other_box)):
            masked = np.where(mask, ious, 0)
            best[found], box[found] = masked.max(axis=1), true[masked.argmax(axis=1)]
    kind = np.select(
        [~matches.false_positives, same >= OVERLAP, same >= NEAR, other >= OVERLAP, other >= NEAR],
        [-1, DUPLICATE, LOCALIZATION, CLASSIFICATION, BOTH],
        BACKGROUND,
    )
    target = np.select([kind == LOCALIZATION, kind == CLASSIFICATION], [same_box, other_box], -1)
    missed = matches.missed(table)
    missed[target[target >= 0]] = False
    return Mistakes(kind, target, missed)


def fixed(table: Table, matches: Matches, mistakes: Mistakes, kind: int) -> Table:
    """Return the table as it would be without one kind of error, all else as it was.

    A wrong class or place becomes that of the object; where two detections then find one object, the weaker one goes.
    Duplicates, detections of nothing and those wrong in both ways go. Missed objects are no longer to be found.
    """
    if kind == MISSED:
        return table.keep(ground_truth=~mistakes.missed)
    chosen = mistakes.kind == kind
    if kind not in (CLASSIFICATION, LOCALIZATION):
        return table.keep(detections=~chosen)
    labels, xyxy, target = table.detections.labels.copy(), table.detections.xyxy.copy(), mistakes.target[chosen]
    labels[chosen], xyxy[chosen] = table.ground_truth.labels[target], table.ground_truth.xyxy[target]
    corrected = replace(table, detections=replace(table.detections, labels=labels, xyxy=xyxy))
    return corrected.keep(detections=~(match(corrected).false_positives & (chosen | matches.true_positives)))


def costs(table: Table, matches: Matches, mistakes: Mistakes) -> np.ndarray:
    """Return (6,), by how much AP50 would rise without each of `ERROR_KINDS`.

    The mean is always over the table's classes with objects; one that has none left to find counts as perfect.
    """
    measured = table.wanted > 0
    now = _ap50(table, matches, measured)
    changed = [fixed(table, matches, mistakes, kind) for kind in range(len(ERROR_KINDS))]
    return np.array([_ap50(one, match(one), measured) - now for one in changed])


def _ap50(table: Table, matches: Matches, measured: np.ndarray) -> float:
    return float(np.nan_to_num(precision_curves(table, matches), nan=1.0)[measured].mean())
