"""Detectors side by side: on which objects they agree, and a summary of each as JSON, as CSV and as text."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from vision_app.core.boxes import iou_matrix
from vision_app.core.results import Detections
from vision_app.core.text import aligned
from vision_app.data.samples import DetectionSet
from vision_app.detection.compare.measure import Conditions, Cost

STAGES = ("preprocess", "proposals", "backbone", "heads", "network", "nms")  # in the order of work
OVERLAP = 0.5  # IoU from which two boxes of one label are the same object
FEWER = "*"
FEWER_NOTE = f"{FEWER} AP over fewer images than that of another detector; the two cannot be compared."

Rows = Sequence[dict[str, Any]]
"""What `Worker.rows` yields: row i is of image i of all. A slow detector may have rows for the first images only."""


@dataclass(frozen=True)
class Counts:
    """Numbers of objects that both found, and that one alone found; those of several images can be added."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.both + other.both, self.only_first + other.only_first, self.only_second + other.only_second)

    @property
    def share(self) -> float:
        """Share of objects that both found among all that any found, 0 to 1; 1 where there are none."""
        everything = self.both + self.only_first + self.only_second
        return self.both / everything if everything else 1.0


def agree(first: Detections, second: Detections) -> Counts:
    """Count the objects that two answers for one image share; see `same_objects`."""
    both = len(same_objects(first, second))
    return Counts(both, len(first) - both, len(second) - both)


def same_objects(first: Detections, second: Detections) -> list[tuple[int, int]]:
    """Pair the objects of two answers for one image.

    Boxes of one label whose IoU is OVERLAP or more are paired, those that overlap most first, each once. Scores do
    not count: those of two detectors are not on one scale, and so neither answer comes before the other.

    Args:
        first: The answer of one detector.
        second: The answer of the other.

    Returns:
        The indices of each object in both answers, pairs that overlap most first.
    """
    ious = iou_matrix(first.boxes, second.boxes)  # (N, M)
    same = np.array(first.labels)[:, None] == np.array(second.labels)[None, :]
    i, j = np.nonzero(same & (ious >= OVERLAP))
    order = np.lexsort((np.maximum(i, j), np.minimum(i, j), -ious[i, j]))  # ties are settled alike for both answers
    pairs: dict[int, int] = {}
    for one, other in zip(i[order].tolist(), j[order].tolist(), strict=True):
        if one not in pairs and other not in pairs.values():
            pairs[one] = other
    return list(pairs.items())


@dataclass(frozen=True)
class DetectorSummary:
    """The rows of one detector summed up; None where there is nothing to tell.

    Attributes:
        model: Its name.
        pictures: Number of images that it was measured on.
        failed: Number of images that could not be read.
        stages: Median milliseconds per image by stage.
        milliseconds: Median milliseconds per image of all stages together, which medians of parts need not add up to.
        memory: The most megabytes of main memory that the process has used.
        cost: Its parameters and multiply-adds.
        judged: Number of images with a ground truth, on which AP and AP50 were measured.
        ap: COCO's average precision there.
        ap50: The same at an IoU of 0.5.
        agreement: Objects that the first detector and this one found; None for the first one.
        conditions: How it ran.
        quartiles: Those of the milliseconds per image of all stages together.
    """

    model: str
    pictures: int
    failed: int
    stages: dict[str, float]
    milliseconds: float | None
    memory: float | None
    cost: Cost
    judged: int = 0
    ap: float | None = None
    ap50: float | None = None
    agreement: Counts | None = None
    conditions: Conditions | None = None
    quartiles: tuple[float, float] | None = None

    @property
    def rate(self) -> float | None:
        """Images per second, one after the other."""
        return 1000 / self.milliseconds if self.milliseconds else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts, ran = self.agreement, self.conditions
        low, high = self.quartiles or (None, None)
        return {
            "model": self.model,
            "pictures": self.pictures,
            "failed": self.failed,
            "confidence": ran and ran.confidence,
            "device": ran and ran.device,
            "runtime": ran and ran.runtime,
            "threads": ran and ran.threads,
            "milliseconds": _rounded(self.milliseconds, 2),
            "milliseconds_lower_quartile": _rounded(low, 2),
            "milliseconds_upper_quartile": _rounded(high, 2),
            "images_per_second": _rounded(self.rate, 3),
            "stages": {name: _rounded(time, 2) for name, time in self.stages.items()},
            "memory_megabytes": self.memory,
            "parameters": self.cost.parameters,
            "multiply_adds": self.cost.multiply_adds,
            "judged": self.judged,
            "AP": _rounded(self.ap, 4),
            "AP50": _rounded(self.ap50, 4),
            "agreement": None if counts is None else counts_to_dict(counts),
        }


def make_line(
    rows: Rows,
    cost: Cost,
    truth: DetectionSet | None = None,
    first: Rows | None = None,
    conditions: Conditions | None = None,
) -> DetectorSummary:
    """Sum up one detector.

    Args:
        rows: Those of `Worker.rows`, with `doubtful` boxes where there is a ground truth.
        cost: That of the same detector.
        truth: The ground truth of all images, or of some.
        first: The rows of the detector that this one is compared with.
        conditions: How the detector ran.
    """
    good = [row for row in rows if row["status"] == "ok"]
    times = [row["milliseconds"] for row in good]
    names = sorted({name for one in times for name in one}, key=_place)
    stages = {name: median(one.get(name, 0.0) for one in times) for name in names}
    whole = [sum(one.values()) for one in times]
    judged, ap, ap50 = (0, None, None) if truth is None else accuracy(good, truth)
    return DetectorSummary(
        model=rows[0]["model"],
        pictures=len(good),
        failed=len(rows) - len(good),
        stages=stages,
        milliseconds=median(whole) if whole else None,
        memory=max((row["memory"] for row in good if row["memory"] is not None), default=None),
        cost=cost,
        judged=judged,
        ap=ap,
        ap50=ap50,
        agreement=None if first is None else sum(filter(None, agreements(first, rows)), Counts()),
        conditions=conditions,
        quartiles=tuple(np.percentile(whole, (25, 75)).tolist()) if whole else None,
    )


def agreements(first: Rows, second: Rows) -> Iterator[Counts | None]:
    """Yield the agreement of two detectors on each image that both have a row of; None where one could not be read."""
    for one, other in zip(first, second, strict=False):
        good = one["status"] == other["status"] == "ok"
        yield agree(to_detections(one), to_detections(other)) if good else None


def accuracy(rows: Rows, truth: DetectionSet) -> tuple[int, float | None, float | None]:
    """Return how many of the images have a ground truth, and AP and AP50 there, None where there are no objects.

    An image is recognized by the place of its file.
    """
    from vision_app.detection.evaluate.evaluation import measure_precision
    from vision_app.detection.evaluate.table import Table

    by_path = {os.path.realpath(row["file"]): row for row in rows}
    places = [i for i, sample in enumerate(truth.samples) if os.path.realpath(sample.path) in by_path]
    known = truth.subset(places)
    if not any(known.boxes_per_class().values()):
        return len(known), None, None
    own = [by_path[os.path.realpath(sample.path)] for sample in known.samples]
    metrics = measure_precision(Table.make(known, [{**row, "detections": row["doubtful"]} for row in own])).metrics
    return len(known), metrics["AP"], metrics["AP50"]


def to_detections(row: dict[str, Any]) -> Detections:
    """Return the objects of a row."""
    found = row["detections"]
    boxes, scores = np.reshape([one["box"] for one in found], (-1, 4)), np.array([one["score"] for one in found])
    return Detections(boxes, scores, tuple(one["label"] for one in found), row["width"], row["height"], row["model"])


def cells(lines: Sequence[DetectorSummary]) -> tuple[list[str], list[list[str]]]:
    """Return a table to read: the heads, and a text for each cell. Empty columns are left out."""
    stages = stage_names(lines)
    marks = [FEWER if few else "" for few in judged_on_fewer(lines)]
    columns = {
        "model": [line.model for line in lines],
        "images": [f"{line.pictures:,}" for line in lines],
        "failed": [f"{line.failed:,}" if line.failed else "" for line in lines],
        "confidence": ["" if line.conditions is None else f"{line.conditions.confidence:g}" for line in lines],
        "ms": [_number(line.milliseconds) for line in lines],
        "ms (quartiles)": [" - ".join(map(_number, line.quartiles or ())) for line in lines],
        "images/s": [_number(line.rate) for line in lines],
        **{f"{name} ms": [_number(line.stages.get(name)) for line in lines] for name in stages},
        "parameters": [_number(line.cost.parameters, 1e6, " M") for line in lines],
        "multiply-adds": [_number(line.cost.multiply_adds, 1e9, " G") for line in lines],
        "memory": [_number(line.memory, suffix=" MB") for line in lines],
        "AP": [_number(line.ap, digits=3) + mark for line, mark in zip(lines, marks, strict=True)],
        "AP50": [_number(line.ap50, digits=3) + mark for line, mark in zip(lines, marks, strict=True)],
        "of images": [f"{line.judged:,}" if line.judged else "" for line in lines],
        "agrees": ["" if line.agreement is None else f"{line.agreement.share:.0%}" for line in lines],
    }
    columns = {head: texts for head, texts in columns.items() if any(texts)}
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def judged_on_fewer(lines: Sequence[DetectorSummary]) -> list[bool]:
    """Return of each detector whether its AP is over fewer images than that of another one."""
    most = max(line.judged for line in lines)
    return [line.ap is not None and line.judged < most for line in lines]


def format_table(lines: Sequence[DetectorSummary]) -> str:
    """Return the table as text: names to the left, numbers to the right; below it, what a mark means."""
    heads, rows = cells(lines)
    text = aligned([heads, *rows], left=1)
    return "\n".join([*text, FEWER_NOTE] if any(judged_on_fewer(lines)) else text)


def csv_rows(lines: Sequence[DetectorSummary]) -> list[dict[str, Any]]:
    """Return the table with all digits: a value for each cell by the name of the column."""
    stages = stage_names(lines)
    table = []
    for line in lines:
        row = line.to_dict()
        times, counts = row.pop("stages"), row.pop("agreement") or {}
        row |= {f"{name}_milliseconds": times.get(name) for name in stages}
        table.append(row | {name: counts.get(name) for name in counts_to_dict(Counts())})
    return table


def stage_names(lines: Sequence[DetectorSummary]) -> list[str]:
    """Return the stages that any detector has, in the order of work."""
    return sorted({name for line in lines for name in line.stages}, key=_place)


def counts_to_dict(counts: Counts) -> dict[str, Any]:
    """Return plain JSON values."""
    return asdict(counts) | {"share": round(counts.share, 4)}


def in_order(milliseconds: dict[str, float]) -> dict[str, float]:
    """Return times by stage, in the order of work."""
    return {name: milliseconds[name] for name in sorted(milliseconds, key=_place)}


def _place(stage: str) -> tuple[int, str]:
    """Return the key by which stages are sorted."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES) - 1, stage)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _number(value: float | None, unit: float = 1, suffix: str = "", digits: int | None = None) -> str:
    """Format a number with three digits, or all of them before the point, or so many behind it; "" for None."""
    if value is None:
        return ""
    value = value / unit
    if digits is None:
        digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{digits}f}{suffix}"
