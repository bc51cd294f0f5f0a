"""The network that training a face embedder starts from."""

from vision_app.faces.model.build import AnyFaceNetwork, build_network
from vision_app.faces.model.network import FaceNetwork, FaceNetworkConfig
from vision_app.released.find import Model
from vision_app.released.runtime import load_module
from vision_app.training.initialize import initialize

RANKS = (
    *[(0, 0)] * 7,
    *[(64, 80), (80, 80), (80, 64)],
    *[(128, 136), (100, 80), (8, 16)],
    (70, 64),
)
"""Ranks of a `FaceNetwork`'s convolutions for 2.3 M parameters instead of 5.6 M, chosen by how far each reduction alone
moves the embeddings of 300 faces by dlib's network."""


def starting_network(model: Model | None) -> AnyFaceNetwork:
    """Return the network that training starts from: that of a released face embedder, or one with fresh weights.

    Raises:
        ModelError: The model's weights do not match its model.json.
    """
    if model is None:
        fresh = FaceNetwork(FaceNetworkConfig(ranks=RANKS))
        initialize(fresh, "he")
        return fresh
    return load_module(model, lambda: build_network(model.info["architecture"]))
