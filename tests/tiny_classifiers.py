"""Tiny classifiers with random weights, for tests of what is around a classifier."""

import torch
from tiny_detectors import ANCHORS, NAMES

from vision_app.classification.model.network import ClassifierNetwork
from vision_app.classification.train.trainer import write_model
from vision_app.detection.model.yolo import YOLOConfig
from vision_app.training.initialize import initialize

SIZE = 96


def tiny_network(seed: int = 0) -> ClassifierNetwork:
    """A network whose answers differ between images, for the three classes of `tiny_detectors`."""
    torch.manual_seed(seed)
    network = ClassifierNetwork(YOLOConfig(len(NAMES), ANCHORS, width=4, depths=(1, 1, 1, 1)))
    initialize(network, "he")
    for head in network.heads:
        torch.nn.init.normal_(head.objectness.bias, std=1)
        torch.nn.init.normal_(head.class_logits.bias, std=1)
    torch.nn.init.normal_(network.context.weight)
    return network.eval()


def write_tiny(folder, seed: int = 0, **about):
    """Write a classifier; returns its folder."""
    write_model(tiny_network(seed), folder, name=folder.name, classes=NAMES, size=SIZE, **about)
    return folder
