"""A face that is known, and tiny embedders with random weights."""

import numpy as np
import torch

from vision_app.faces.export import write_model
from vision_app.faces.network import FaceNetwork, FaceNetworkConfig
from vision_app.training.initialize import initialize

# The eyes, nose and mouth of skimage.data.astronaut(), marked by hand.
ASTRONAUT = np.array([[201.5, 108.0], [243.5, 105.0], [228.0, 133.0], [207.0, 153.0], [246.0, 151.0]])


def tiny_network(seed: int = 0) -> FaceNetwork:
    """A network whose answers differ between faces; 16 numbers each."""
    torch.manual_seed(seed)
    config = FaceNetworkConfig(widths=(4, 8), depths=(1, 1), ranks=(0, 2), embedding=16, inner=40)
    network = FaceNetwork(config)
    initialize(network, "he")
    return network.eval()


def write_tiny_embedder(folder, seed: int = 0, **about):
    """Write an embedder; returns its folder."""
    write_model(tiny_network(seed), folder, name=folder.name, **about)
    return folder
