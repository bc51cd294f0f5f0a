"""Two tiny detectors to be joined: each finds some dozens of boxes in images of 96 pixels, most of them doubtful."""

import torch
from tiny_detectors import ANCHORS, NAMES

from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model


def write_members(folder):
    """Write the models `one` and `two` into a folder for $VISION_APP_MODELS; returns it."""
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        network = YOLO(YOLOConfig(len(NAMES), ANCHORS, width=4, depths=(1, 1, 1, 1)))
        for head in network.heads:
            torch.nn.init.normal_(head.objectness.bias, mean=-2, std=2)
            torch.nn.init.normal_(head.class_logits.bias, mean=-1, std=1)
        defaults = {"confidence": 0.3, "iou": 0.5, "max_detections": 20}
        write_model(network, folder / name, name=name, classes=NAMES, defaults=defaults, size=96)
    return folder
