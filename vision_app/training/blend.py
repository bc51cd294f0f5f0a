"""Between two networks: weights on the straight line from where training started to where it arrived."""

from collections.abc import Mapping

import torch
from torch import Tensor


def blend(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float) -> dict[str, Tensor]:
    """(1 - fraction) start + fraction trained, tensor by tensor.

    Fine-tuning on little data forgets some of what a network knew; a point on the way often knows both (WiSE-FT,
    Wortsman et al., 2022). It works while the two lie in one valley, as a network and its fine-tuned self do.

    Args:
        start, trained: state dictionaries with the same names and shapes.
        fraction: 0 gives the start, 1 the trained network.

    Raises:
        ValueError: the names or shapes differ, or the fraction lies outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction}: must lie between 0 and 1")
    if {name: t.shape for name, t in start.items()} != {name: t.shape for name, t in trained.items()}:
        raise ValueError("the two networks are not of the same architecture")
    return {
        name: torch.lerp(start[name], tensor, fraction) if tensor.is_floating_point() else tensor
        for name, tensor in trained.items()
    }
