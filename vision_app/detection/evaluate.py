"""How good detections are against a COCO-style truth: average precision by COCO's rules, and the best confidence."""

import contextlib
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from vision_app.boxes import iou_matrix
from vision_app.data.names import canonical
from vision_app.detection.detector import DetectOptions
from vision_app.errors import DataError

MEASURING = DetectOptions(confidence=0.01, iou=0.6, max_detections=100)  # AP needs the doubtful boxes too


def average_precision(truth: Mapping, rows: Iterable[Mapping]) -> dict[str, float]:
    """COCO's metrics over the images of `truth`.

    Args:
        truth: COCO-style content; `difficult` annotations are ignored as crowds are, neither right nor wrong. Class
            names are compared in their canonical form, so VOC's "sofa" meets "couch".
        rows: rows of `detections.jsonl`, each with `file` and `detections`; an image is found by the last parts of
            `file`. Detections of classes that the truth does not list are left out.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, APsmall, APmedium, APlarge; -1 where the truth has no such object.

    Raises:
        DataError: an image of the truth has no row, or more than one.
    """
    categories = {canonical(row["name"]): row["id"] for row in truth["categories"]}
    predictions = []
    for image, row in _paired(truth, rows):
        for one in row["detections"]:
            if one["label"] in categories:
                x1, y1, x2, y2 = one["box"]
                predictions.append(
                    {"image_id": image["id"], "category_id": categories[one["label"]], "score": one["score"],
                     "bbox": [x1, y1, x2 - x1, y2 - y1]}
                )  # fmt: skip
    return _evaluate(truth, predictions)


def _paired(truth: Mapping, rows: Iterable[Mapping]) -> list[tuple[Mapping, Mapping]]:
    """Every image of the truth with its row, whose `file` ends in the image's `file_name`."""
    by_last_part = defaultdict(list)
    for row in rows:
        by_last_part[_parts(row["file"])[-1]].append(row)
    pairs = []
    for image in truth["images"]:
        name = _parts(image["file_name"])
        found = [row for row in by_last_part[name[-1]] if _parts(row["file"])[-len(name) :] == name]
        if len(found) != 1:
            raise DataError(f"the rows hold {'no' if not found else 'more than one'} '{image['file_name']}'")
        pairs.append((image, found[0]))
    return pairs


def _parts(path: str) -> list[str]:
    return path.replace("\\", "/").split("/")


def best_confidence(truth: Mapping, rows: Iterable[Mapping], overlap: float = 0.5) -> tuple[float, float]:
    """The confidence at which the F1 of all detections together is best.

    Best first, a detection is right if it meets an unused true box of its class in its image with at least `overlap`
    IoU, does not count if what it meets is a crowd or difficult, and is wrong otherwise. F1 = 2 TP / (2 TP + FP + FN).

    Args:
        truth, rows: as for `average_precision`; the rows must hold the doubtful boxes too.

    Returns:
        The confidence, rounded down to two digits, and the F1 there.
    """
    names = {row["id"]: canonical(row["name"]) for row in truth["categories"]}
    true_boxes = defaultdict(list)
    for one in truth["annotations"]:
        x, y, w, h = one["bbox"]
        ignored = bool(one.get("iscrowd") or one.get("difficult"))
        true_boxes[one["image_id"], names[one["category_id"]]].append(([x, y, x + w, y + h], ignored))
    wanted = sum(not ignored for boxes in true_boxes.values() for _, ignored in boxes)
    verdicts = []
    for image, row in _paired(truth, rows):
        for label in {one["label"] for one in row["detections"]} & set(names.values()):
            found = [one for one in row["detections"] if one["label"] == label]
            verdicts += _verdicts(found, true_boxes[image["id"], label], overlap)
    if not verdicts or not wanted:
        return 0.0, 0.0
    scores, right = (np.array(part) for part in zip(*sorted(verdicts, reverse=True), strict=True))
    hits = right.cumsum()
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + wanted)  # TP + FP are all so far, TP + FN all true boxes
    best = int(f1.argmax())
    return math.floor(scores[best] * 100 + 1e-9) / 100, float(f1[best])


def _verdicts(found: list[Mapping], true_boxes: list[tuple[list[float], bool]], overlap: float) -> list[tuple]:
    """(score, right) of the detections of one class in one image that count."""
    found = sorted(found, key=lambda one: -one["score"])
    if not true_boxes:
        return [(one["score"], False) for one in found]
    ious = iou_matrix(np.array([one["box"] for one in found]), np.array([box for box, _ in true_boxes]))
    ignored = np.array([ignored for _, ignored in true_boxes])
    free, verdicts = ~ignored, []
    for one, row in zip(found, ious, strict=True):
        match = int(np.where(free, row, -1).argmax())
        if free[match] and row[match] >= overlap:
            free[match] = False
            verdicts.append((one["score"], True))
        elif not (ignored & (row >= overlap)).any():
            verdicts.append((one["score"], False))
    return verdicts


def _evaluate(truth: Mapping, predictions: list[dict]) -> dict[str, float]:
    annotations = []
    for i, row in enumerate(truth["annotations"]):
        area = row.get("area", row["bbox"][2] * row["bbox"][3])
        ignored = int(bool(row.get("iscrowd") or row.get("difficult")))
        annotations.append({**row, "area": area, "iscrowd": ignored, "id": i + 1})  # COCO's code needs ids from 1
    names = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")
    if not predictions:
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({**truth, "annotations": annotations})
        evaluation = COCOeval_faster(coco, coco.loadRes(predictions), "bbox", print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(names, evaluation.stats[:6], strict=True)}
