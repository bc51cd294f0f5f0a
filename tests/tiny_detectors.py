"""Model folders of tiny grid detectors with random weights, for tests of what is around a detector."""

import torch

from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model

ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
NAMES = ("cat", "cup", "dining table")


def write_tiny(folder, seed=3, max_detections=5):
    """Write a detector that finds a few boxes in every image; returns its folder."""
    torch.manual_seed(seed)
    network = YOLO(YOLOConfig(len(NAMES), ANCHORS, width=4, depths=(1, 1, 1, 1)))
    for head in network.heads:
        torch.nn.init.normal_(head.objectness.bias, std=1)
        torch.nn.init.normal_(head.class_logits.bias, std=1)
    defaults = {"confidence": 0.3, "iou": 0.5, "max_detections": max_detections}
    write_model(network, folder, name=folder.name, classes=NAMES, defaults=defaults)
    return folder
