"""Builds the network that a face embedder's model.json describes, alone and as it is exported. Needs torch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.faces.model.mobile import MobileFaceConfig, MobileFaceNetwork
from vision_app.faces.model.network import FaceNetwork, FaceNetworkConfig

FACE, MIRROR = "face", "mirror image"  # views of a face that an embedding is the mean of
AnyFaceNetwork = FaceNetwork | MobileFaceNetwork
TYPES = {FaceNetwork: "face-embedder", MobileFaceNetwork: "mobile-face-embedder"}


def build_network(architecture: Mapping[str, Any]) -> AnyFaceNetwork:
    """Return a network with fresh weights for the "architecture" of a model.json."""
    if architecture.get("type") == TYPES[MobileFaceNetwork]:
        return MobileFaceNetwork(MobileFaceConfig.from_dict(architecture))
    return FaceNetwork(FaceNetworkConfig.from_dict(architecture))


class ByteFaces(nn.Module):
    """A face network behind the input that is exported, (B, H, W, 3) uint8 RGB.

    With `mirrored`, test-time flipping: it gives (B, D) unit vectors between those of each face and of its mirror
    image, which tell people apart better than either, in twice the time.
    """

    def __init__(self, network: nn.Module, mirrored: bool = True):
        super().__init__()
        self.network, self.mirrored = network, mirrored

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, D)."""
        faces = pixels.permute(0, 3, 1, 2).float()
        if not self.mirrored:
            embeddings: Tensor = self.network(faces)
            return embeddings
        both: Tensor = self.network(torch.cat([faces, faces.flip(3)])).unflatten(0, (2, -1))  # (2, B, D)
        return F.normalize(both.sum(dim=0))
