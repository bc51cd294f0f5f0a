"""Ground truth and detections of a set of images side by side, as arrays: the source of every figure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vision_app.core.errors import DataError
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.names import canonical
from vision_app.data.samples import AnnotatedImage, DetectionSet


@dataclass(frozen=True, eq=False)
class Table:
    """M ground-truth boxes and N detections, best first, in float64 and in pixels of their images.

    Attributes:
        classes: Names of the K classes that the images are labeled for.
        images: Number of images.
        ground_truth: Labels are indices of `classes`.
        ground_truth_images: (M,) which image, from 0.
        areas: (M,) in square pixels, of the object's outline where that is known.
        detections: Labels are indices of `classes`.
        detection_images: (N,) which image, from 0.
    """

    classes: tuple[str, ...]
    images: int
    ground_truth: LabeledBoxes
    ground_truth_images: np.ndarray
    areas: np.ndarray
    detections: LabeledBoxes
    detection_images: np.ndarray

    @classmethod
    def make(cls, data: DetectionSet, rows: Iterable[Mapping[str, Any]]) -> "Table":
        """Put detections beside their ground truth.

        Args:
            data: The ground truth.
            rows: Rows of `detections.jsonl`, one for each sample in order; see `rows_in_order`. A detection of a class
                that the set is not labeled for is left out, unless it is one of the class's other names: "couch" is
                right where the set says VOC's "sofa".

        Raises:
            DataError: A row is of a failed image, has no detections or is of an image of another size.
        """
        used = sorted(frozenset[int]().union(*(sample.labeled for sample in data.samples)))
        classes = tuple(data.classes[i] for i in used)
        index = {canonical(name): i for i, name in enumerate(classes)} | {name: i for i, name in enumerate(classes)}
        place = np.full(len(data.classes), -1)
        place[used] = range(len(used))
        found = []
        for i, (sample, row) in enumerate(zip(data.samples, rows, strict=True)):
            _check(row, sample)
            known = (one for one in row["detections"] if one["label"] in index)
            found += [(*one["box"], index[one["label"]], one["score"], i) for one in known]
        columns = np.array(found, float).reshape(-1, 7)
        columns = columns[np.argsort(-columns[:, 5], kind="stable")]
        labels, images = columns[:, [4, 6]].astype(int).T
        boxes = [sample.boxes for sample in data.samples]
        return cls(
            classes,
            len(data),
            LabeledBoxes.make(
                np.concatenate([np.zeros((0, 4)), *(one.xyxy for one in boxes)]),
                place[np.concatenate([np.zeros(0, int), *(one.labels for one in boxes)])],
                ignored=np.concatenate([np.zeros(0, bool), *(one.ignored for one in boxes)]),
            ),
            np.repeat(np.arange(len(data)), [len(one) for one in boxes]),
            np.concatenate([np.zeros(0), *(sample.areas for sample in data.samples)]),
            LabeledBoxes.make(columns[:, :4], labels, columns[:, 5]),
            images,
        )

    @property
    def wanted(self) -> np.ndarray:
        """(K,) number of objects of each class that a detector should find."""
        return np.bincount(self.ground_truth.not_ignored.labels, minlength=len(self.classes))

    def keep(self, *, detections: np.ndarray | None = None, ground_truth: np.ndarray | None = None) -> "Table":
        """Return the table with some detections and ground-truth boxes, by masks (N,) and (M,); None keeps all."""
        table = self
        if detections is not None:
            images = table.detection_images[detections]
            table = replace(table, detections=table.detections[detections], detection_images=images)
        if ground_truth is not None:
            names = ("ground_truth", "ground_truth_images", "areas")
            table = replace(table, **{name: getattr(table, name)[ground_truth] for name in names})
        return table


def rows_in_order(data: DetectionSet, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return for every sample the row whose `file` ends in the sample's name; the longest names choose first.

    Raises:
        DataError: A sample has no row, more than one, or one that `Table.make` refuses.
    """
    by_last_part = defaultdict(list)
    for row in rows:
        by_last_part[_parts(row["file"])[-1]].append(row)
    found: dict[int, Mapping[str, Any]] = {}
    names = [_parts(sample.name) for sample in data.samples]
    for i in sorted(range(len(names)), key=lambda i: -len(names[i])):
        candidates = by_last_part[names[i][-1]]
        mine = [row for row in candidates if _parts(row["file"])[-len(names[i]) :] == names[i]]
        if len(mine) != 1:
            raise DataError(f"the rows contain {'no' if not mine else 'more than one'} '{data.samples[i].name}'")
        _check(mine[0], data.samples[i])
        candidates.remove(mine[0])
        found[i] = mine[0]
    return [found[i] for i in range(len(names))]


def _parts(path: str) -> Sequence[str]:
    return path.replace("\\", "/").split("/")


def _check(row: Mapping[str, Any], sample: AnnotatedImage) -> None:
    """Refuse a row that has no detections of the image."""
    if row.get("status", "ok") != "ok":
        raise DataError(f"{row['file']}: {row.get('error')}; fix the image or leave it out of the ground truth")
    if not isinstance(row.get("detections"), list):
        raise DataError(f"{row['file']}: its row has no detections")
    size = row.get("width"), row.get("height")
    if None not in size and size != (sample.width, sample.height):
        sizes = "{} x {}, listed as {} x {}".format(*size, sample.width, sample.height)
        raise DataError(f"{row['file']}: is {sizes}; the ground truth must be in pixels of the upright image")
