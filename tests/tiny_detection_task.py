"""The training of a tiny grid detector on a few drawn photos."""

import torch
from drawn_sets import coco

from vision_app.data.coco import load_coco
from vision_app.data.samples import DetectionSet
from vision_app.data.scan import scan
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.datasets import ValidationSet
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import DetectionTask

ANCHORS = (((10.0, 14.0),), ((60.0, 40.0),), ((120.0, 200.0),))


def tiny_task(data: DetectionSet, **options) -> DetectionTask:
    """Return the task of learning a set, and of being measured on it."""
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(len(data.classes), ANCHORS, width=4, depths=(1, 1, 1, 1)))
    return DetectionTask(
        network, data, [ValidationSet("set", data)], DetectionOptions(**{"size": 96} | options), workers=0
    )


def task_of_motorbikes(folder) -> DetectionTask:
    """Return the task of learning five photos, which are written into a folder."""
    return tiny_task(scan(load_coco(coco(folder / "set", photos=5))))
