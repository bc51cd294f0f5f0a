"""How good detections are against a COCO-style truth: average precision, and all that explains it."""

from collections.abc import Iterable, Mapping

from vision_app.detection.evaluate.curves import Sweep
from vision_app.detection.evaluate.matching import match
from vision_app.detection.evaluate.precision import MEASURING, measure_precision
from vision_app.detection.evaluate.table import Table

__all__ = ["MEASURING", "average_precision", "best_confidence"]


def average_precision(truth: Mapping, rows: Iterable[Mapping]) -> dict[str, float]:
    """COCO's metrics over the images of `truth`; arguments and errors are those of `Table.make`.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, APsmall, APmedium, APlarge; -1 where the truth has no such object.
    """
    return measure_precision(Table.make(truth, rows)).metrics


def best_confidence(truth: Mapping, rows: Iterable[Mapping]) -> tuple[float, float]:
    """The confidence at which the F1 of all detections together is best; see `Sweep.best`.

    Args:
        truth, rows: as for `Table.make`; the rows must hold the doubtful boxes too.
    """
    table = Table.make(truth, rows)
    return Sweep.make(table, match(table)).best()
