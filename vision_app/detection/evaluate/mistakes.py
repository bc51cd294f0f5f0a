"""What goes wrong: which classes are taken for which, and the kinds of errors with what each costs."""

from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.boxes import iou_matrix
from vision_app.detection.evaluate.curves import precision_curves
from vision_app.detection.evaluate.matching import OVERLAP, Matches, groups, match
from vision_app.detection.evaluate.table import Table

KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))
NEAR = 0.1  # IoU from which a detection is about an object at all


def confusion_matrix(table: Table, matches: Matches) -> np.ndarray:
    """Counts what objects are taken for.

    Right detections come first, so that the diagonal holds all that `match` finds right. Then wrong ones meet objects
    of other classes that nothing found, by the same rules but for the class; the rest is background.

    Args:
        table: only with the detections that a user would see, those above some confidence.
        matches: `match` of the table.

    Returns:
        (K + 1, K + 1) counts: row for what is there, column for what the detector says; the last row holds detections
        where nothing is, the last column objects that nothing found.
    """
    missed = ~table.ignored
    missed[matches.truth[matches.right]] = False
    rest = table.keep(found=matches.wrong, true=missed)
    confused = match(rest, by_class=False)
    unseen = np.ones(len(rest.true_labels), bool)
    unseen[confused.truth[confused.right]] = False
    size = len(table.classes) + 1
    background = size - 1
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (table.labels[matches.right],) * 2, 1)
    np.add.at(matrix, (rest.true_labels[confused.truth[confused.right]], rest.labels[confused.right]), 1)
    np.add.at(matrix, (background, rest.labels[confused.wrong]), 1)
    np.add.at(matrix, (rest.true_labels[unseen], background), 1)
    return matrix


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The kinds of errors of TIDE (Bolya et al., 2020), each wrong detection of one kind.

    Attributes:
        kind: (N,) index of `KINDS`, -1 for a detection that is not wrong.
        target: (N,) for classification and localization, the true box that the detection was about, else -1.
        missed: (M,) bool, true boxes that nothing found and no detection of these two kinds was about.
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray

    def counts(self) -> np.ndarray:
        """(6,) number of errors of each of `KINDS`."""
        return np.append(np.bincount(self.kind[self.kind >= 0], minlength=MISSED), self.missed.sum())


def find_mistakes(table: Table, matches: Matches) -> Mistakes:
    """Sorts a table's errors by the true boxes that a wrong detection overlaps most, ignored ones left out.

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
        matches: `match` of the table.
    """
    same, other = (np.zeros(len(table.scores)) for _ in range(2))  # the largest IoU with a box of its, another class
    same_box, other_box = (np.full(len(table.scores), -1) for _ in range(2))
    true_indices = np.flatnonzero(~table.ignored)
    for found, places in groups(table.image, table.true_images[true_indices]):
        true = true_indices[places]
        ious = iou_matrix(table.boxes[found], table.true_boxes[true])  # (n, m)
        is_same = table.labels[found, None] == table.true_labels[true]
        for mask, best, box in ((is_same, same, same_box), (~is_same, other, other_box)):
            masked = np.where(mask, ious, 0)
            best[found], box[found] = masked.max(axis=1), true[masked.argmax(axis=1)]
    kind = np.select(
        [~matches.wrong, same >= OVERLAP, same >= NEAR, other >= OVERLAP, other >= NEAR],
        [-1, DUPLICATE, LOCALIZATION, CLASSIFICATION, BOTH],
        BACKGROUND,
    )
    target = np.select([kind == LOCALIZATION, kind == CLASSIFICATION], [same_box, other_box], -1)
    missed = ~table.ignored
    missed[matches.truth[matches.right]] = False
    missed[target[target >= 0]] = False
    return Mistakes(kind, target, missed)


def fixed(table: Table, matches: Matches, mistakes: Mistakes, kind: int) -> Table:
    """The table as it would be without one kind of error, all else as it was.

    A wrong class or place becomes that of the object; where two detections then find one object, the weaker one goes.
    Doubles, detections of nothing and those wrong in both ways go. Missed objects are no longer to be found.
    """
    if kind == MISSED:
        return table.keep(true=~mistakes.missed)
    chosen = mistakes.kind == kind
    if kind not in (CLASSIFICATION, LOCALIZATION):
        return table.keep(found=~chosen)
    labels, boxes, target = table.labels.copy(), table.boxes.copy(), mistakes.target[chosen]
    labels[chosen], boxes[chosen] = table.true_labels[target], table.true_boxes[target]
    mended = replace(table, labels=labels, boxes=boxes)
    return mended.keep(found=~(match(mended).wrong & (chosen | matches.right)))


def costs(table: Table, matches: Matches, mistakes: Mistakes) -> np.ndarray:
    """(6,) by how much AP50 would rise without each of `KINDS`.

    The mean is always over the table's classes with objects; one that has none left to find counts as perfect.
    """
    measured = table.wanted > 0
    now = _ap50(table, matches, measured)
    changed = [fixed(table, matches, mistakes, kind) for kind in range(len(KINDS))]
    return np.array([_ap50(one, match(one), measured) - now for one in changed])


def _ap50(table: Table, matches: Matches, measured: np.ndarray) -> float:
    return float(np.nan_to_num(precision_curves(table, matches), nan=1.0)[measured].mean())
