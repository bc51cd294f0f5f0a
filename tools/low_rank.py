"""Make a face network smaller: convolutions by their principal directions, vectors on a sphere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from batch_norms import restore_batch_statistics
from torch import Tensor, nn

from vision_app.faces.model.network import FaceNetwork

RADIUS = 0.75  # of the sphere: a little more than dlib's vectors differ from their mean
RIDGE = 1e-3  # of the variance of the features, added when the last layer is fitted
BATCH = 50  # faces


@dataclass(frozen=True)
class Sphere:
    """Maps vectors that are compared by their Euclidean distance to a sphere, so that cosines say the same.

    A vector x at the distance r = |x - m| from the mean goes to (p, sqrt(R^2 - r^2)) / R, where p are the first D - 1
    principal components of x - m. Then 2 R^2 (1 - cosine) is the squared distance, plus the square of the difference in
    height, which is small where all r are alike. dlib's vectors have no last component worth keeping.

    Attributes:
        mean: (D,).
        directions: (D, D - 1) orthonormal columns.
        radius: R.
    """

    mean: Tensor
    directions: Tensor
    radius: float = RADIUS

    @classmethod
    def of(cls, vectors: Tensor) -> "Sphere":
        """Fit it to (N, D) vectors."""
        mean = vectors.mean(0)
        directions = torch.linalg.eigh((vectors - mean).T @ (vectors - mean))[1]
        return cls(mean, directions.flip(1)[:, :-1])

    def __call__(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, D) unit vectors."""
        places = (vectors - self.mean) @ self.directions
        height = (self.radius**2 - places.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
        return nn.functional.normalize(torch.cat([places, height], 1))


@torch.no_grad()
def compressed(large: FaceNetwork, chips: np.ndarray, targets: Tensor, ranks: Sequence[tuple[int, int]]) -> FaceNetwork:
    """Return a network of the same shape whose convolutions have lower ranks, and whose last layer is fitted again.

    Args:
        large: In evaluation mode; its convolutions are whole.
        chips: (N, 112, 112, 3) uint8 aligned faces that determine the principal directions; a thousand are plenty.
        targets: (N, D) unit vectors that the last layer is fitted to.
        ranks: Of the two convolutions of each block; 0 keeps one whole.
    """
    batches = [torch.from_numpy(part).permute(0, 3, 1, 2).float() for part in _parts(chips)]
    covariances = _covariances(large, batches)
    small = FaceNetwork(replace(large.config, ranks=tuple(ranks))).eval()
    small.stem.load_state_dict(large.stem.state_dict())
    small.norm.load_state_dict(large.norm.state_dict())
    for new, old in zip(small.blocks, large.blocks, strict=True):
        for name in ("first", "second"):
            _project(getattr(new, name), getattr(old, name), covariances[getattr(old, name)])
        new.norm1.load_state_dict(old.norm1.state_dict())
        new.norm2.load_state_dict(old.norm2.state_dict())
    features = torch.cat([small.features(batch) for batch in batches])
    _fit(small.embedding, features, targets)
    restore_batch_statistics(small, batches)
    for block in small.blocks:
        _rescale(block.first, block.norm1)
        _rescale(block.second, block.norm2)
    return small


def _parts(chips: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(chips), BATCH):
        yield np.ascontiguousarray(chips[start : start + BATCH])


def _covariances(network: FaceNetwork, batches: Sequence[Tensor]) -> dict[nn.Conv2d, tuple[Tensor, Tensor]]:
    """Return (C,) mean and (C, C) covariance of the outputs of each convolution in a block, over images and pixels."""
    layers = [layer for block in network.blocks for layer in (block.first, block.second)]
    sums = {layer: [0, 0.0, 0.0] for layer in layers}

    def measure(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        rows, total = output.movedim(1, -1).flatten(0, 2).double(), sums[layer]
        sums[layer] = [total[0] + len(rows), total[1] + rows.sum(0), total[2] + rows.T @ rows]

    hooks = [layer.register_forward_hook(measure) for layer in layers]
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    means = {layer: total / count for layer, (count, total, _) in sums.items()}
    return {
        layer: (means[layer], squares / count - torch.outer(means[layer], means[layer]))
        for layer, (count, _, squares) in sums.items()
    }


def _project(new: nn.Module, old: nn.Conv2d, statistics: tuple[Tensor, Tensor]) -> None:
    """Fill a convolution of low rank: W x + b becomes U U^T (W x + b - m) + m with the principal directions U."""
    if isinstance(new, nn.Conv2d):
        new.load_state_dict(old.state_dict())
        return
    narrow, wide = new
    mean, covariance = (values.float() for values in statistics)
    directions = torch.linalg.eigh(covariance)[1].flip(1)[:, : narrow.out_channels]  # (C, rank)
    narrow.weight.copy_((directions.T @ old.weight.flatten(1)).view_as(narrow.weight))
    wide.weight.copy_(directions[:, :, None, None])
    wide.bias.copy_(directions @ (directions.T @ (old.bias - mean)) + mean)


def _rescale(layer: nn.Module, norm: nn.BatchNorm2d) -> None:
    """Scale the outputs of a convolution to those of a fresh one, which its batch norm undoes.

    dlib's are a tenth of that, so that an optimizer step that suits a fresh network would be ten times too long.
    """
    factor = norm.running_var.mean().rsqrt()
    first, last = (layer, layer) if isinstance(layer, nn.Conv2d) else layer
    for values in (first.weight, last.bias, norm.running_mean):
        values.mul_(factor)
    norm.running_var.copy_(factor.square() * (norm.running_var + norm.eps) - norm.eps)


def _fit(layer: nn.Linear, features: Tensor, targets: Tensor) -> None:
    """Fit a layer by ridge regression of (N, F) features on (N, D) targets."""
    mean, goal = features.mean(0), targets.mean(0)
    centered = (features - mean).double()
    square = centered.T @ centered
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square))
    weight = torch.linalg.solve(square, centered.T @ (targets - goal).double()).T.float()
    layer.weight.copy_(weight)
    layer.bias.copy_(goal - weight @ mean)
