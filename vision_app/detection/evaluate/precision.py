"""Average precision by COCO's own code, of all classes and of each."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from vision_app.core.boxes import xyxy_to_xywh
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.base import DetectOptions
from vision_app.detection.evaluate.table import Table

MEASURING = DetectOptions(confidence=0.01, iou=0.6, max_detections=100)  # AP needs low scores too
METRICS = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")


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
