"""Truth and detections of a set of images side by side, as arrays: what every figure of an evaluation is made from."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.boxes import xywh_to_xyxy
from vision_app.core.errors import DataError
from vision_app.data.names import canonical


@dataclass(frozen=True, eq=False)
class Table:
    """M true boxes and N detections, the detections best first. Boxes are xyxy in pixels of their image.

    Attributes:
        classes: names of the K classes of the truth.
        images: number of images.
        true_boxes: (M, 4) float64.
        true_labels: (M,) indices of `classes`.
        true_images: (M,) which image, from 0.
        true_areas: (M,) in square pixels, of the object's outline where the truth tells it.
        ignored: (M,) bool, whether finding the object is neither right nor wrong (crowds, difficult objects).
        boxes, labels, image, scores: (N, 4), (N,), (N,), (N,) of the detections; scores are 0 to 1.
    """

    classes: tuple[str, ...]
    images: int
    true_boxes: np.ndarray
    true_labels: np.ndarray
    true_images: np.ndarray
    true_areas: np.ndarray
    ignored: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    image: np.ndarray
    scores: np.ndarray

    @classmethod
    def make(cls, truth: Mapping, rows: Iterable[Mapping]) -> "Table":
        """Puts answers beside a COCO-style truth.

        Args:
            truth: COCO-style content; `difficult` annotations are ignored as crowds are.
            rows: rows of `detections.jsonl`, each with `file` and `detections`; an image is found by the last parts of
                `file`. A detection of a class that the truth does not list is left out, unless the truth lists it
                under one of its other names: "couch" is right where the truth says VOC's "sofa".

        Raises:
            DataError: an image of the truth has no row or more than one, or its row says that it failed, holds no
                detections or is of an image of another size.
        """
        classes = tuple(row["name"] for row in truth["categories"])
        index = {canonical(name): i for i, name in enumerate(classes)} | {name: i for i, name in enumerate(classes)}
        category = {row["id"]: i for i, row in enumerate(truth["categories"])}
        images = {image["id"]: i for i, image in enumerate(truth["images"])}
        true = [
            (row["bbox"], category[row["category_id"]], images[row["image_id"]], _area(row), _is_ignored(row))
            for row in truth["annotations"]
            if row["image_id"] in images
        ]
        found = [
            (one["box"], index[one["label"]], i, one["score"])
            for i, row in enumerate(_rows_of_images(truth["images"], rows))
            for one in row["detections"]
            if one["label"] in index
        ]
        found.sort(key=lambda one: -one[3])
        xywh, true_labels, true_images, true_areas, ignored = zip(*true, strict=True) if true else ((),) * 5
        boxes, labels, image, scores = zip(*found, strict=True) if found else ((),) * 4
        return cls(
            classes, len(images), xywh_to_xyxy(_boxes(xywh)), np.array(true_labels, int), np.array(true_images, int),
            np.array(true_areas, float), np.array(ignored, bool),
            _boxes(boxes), np.array(labels, int), np.array(image, int), np.array(scores, float),
        )  # fmt: skip

    @property
    def wanted(self) -> np.ndarray:
        """(K,) number of objects of each class that a detector should find."""
        return np.bincount(self.true_labels[~self.ignored], minlength=len(self.classes))

    def keep(self, *, found: np.ndarray | None = None, true: np.ndarray | None = None) -> "Table":
        """The table with these detections and these true boxes alone, by masks (N,) and (M,); None keeps all."""
        table = self
        if found is not None:
            names = ("boxes", "labels", "image", "scores")
            table = replace(table, **{name: getattr(table, name)[found] for name in names})
        if true is not None:
            names = ("true_boxes", "true_labels", "true_images", "true_areas", "ignored")
            table = replace(table, **{name: getattr(table, name)[true] for name in names})
        return table


def _boxes(values: Iterable) -> np.ndarray:
    return np.array(values, float).reshape(-1, 4)


def _area(annotation: Mapping) -> float:
    return annotation.get("area", annotation["bbox"][2] * annotation["bbox"][3])


def _is_ignored(annotation: Mapping) -> bool:
    return bool(annotation.get("iscrowd") or annotation.get("difficult"))


def _rows_of_images(images: Sequence[Mapping], rows: Iterable[Mapping]) -> list[Mapping]:
    """For every image the row whose `file` ends in the image's `file_name`; the longest names choose first."""
    by_last_part = defaultdict(list)
    for row in rows:
        by_last_part[_parts(row["file"])[-1]].append(row)
    found = {}
    for i in sorted(range(len(images)), key=lambda i: -len(_parts(images[i]["file_name"]))):
        name = _parts(images[i]["file_name"])
        mine = [row for row in by_last_part[name[-1]] if _parts(row["file"])[-len(name) :] == name]
        if len(mine) != 1:
            raise DataError(f"the rows hold {'no' if not mine else 'more than one'} '{images[i]['file_name']}'")
        _check(mine[0], images[i])
        by_last_part[name[-1]].remove(mine[0])
        found[i] = mine[0]
    return [found[i] for i in range(len(images))]


def _parts(path: str) -> list[str]:
    return path.replace("\\", "/").split("/")


def _check(row: Mapping, image: Mapping) -> None:
    """Refuses a row that says nothing of an image."""
    if row.get("status", "ok") != "ok":
        raise DataError(f"{row['file']}: {row.get('error')}; mend the image or leave it out of the truth")
    if not isinstance(row.get("detections"), list):
        raise DataError(f"{row['file']}: its row holds no detections")
    listed, seen = [tuple(of.get(key) for key in ("width", "height")) for of in (image, row)]
    if None not in listed + seen and listed != seen:
        sizes = "{} x {}, listed as {} x {}".format(*seen, *listed)
        raise DataError(f"{row['file']}: is {sizes}; the truth must speak of the upright photo's pixels")
