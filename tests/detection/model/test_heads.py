import numpy as np
import pytest
import torch

from vision_app.detection.grid import make_grid
from vision_app.detection.model.heads import BINS, DecoupledHead, DistributionHead

ANCHORS = ((12.0, 20.0), (40.0, 24.0))
STRIDE, CLASSES = 16, 3


@pytest.fixture
def head() -> DistributionHead:
    torch.manual_seed(0)
    head = DistributionHead(8, 8, CLASSES, ANCHORS, STRIDE).eval()
    torch.nn.init.normal_(head.sides.weight, std=2)
    return head


def test_sides_are_the_means_of_their_distributions(head):
    x = torch.rand(1, 8, 4, 5)
    rows = head(x)[0].detach().numpy()
    grid = make_grid(4 * STRIDE, 5 * STRIDE, (STRIDE,), (ANCHORS,))
    boxes = grid.decode(rows[:, 1:5])
    logits = head.sides(head.branch(x))[0].detach().double().numpy()  # (k 4 BINS, 4, 5)
    for row in range(4):
        for column in range(5):
            for k in range(2):
                parts = logits[:, row, column].reshape(2, 4, BINS)[k]
                weights = np.exp(parts) / np.exp(parts).sum(axis=1, keepdims=True)
                left, top, right, bottom = STRIDE * (weights * np.arange(BINS)).sum(axis=1)
                x0, y0 = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
                found = boxes[(row * 5 + column) * 2 + k]
                np.testing.assert_allclose(found, [x0 - left, y0 - top, x0 + right, y0 + bottom], rtol=1e-4, atol=1e-3)


def test_extreme_logits_keep_offsets_finite(head):
    for value in (-1e4, 1e4):
        torch.nn.init.constant_(head.sides.bias, value)
        assert torch.isfinite(head(torch.rand(1, 8, 2, 2))).all()


@pytest.mark.parametrize("kind", [DecoupledHead, DistributionHead])
def test_dropout_acts_on_classes_in_training_only(kind):
    torch.manual_seed(0)
    head, x = kind(8, 8, CLASSES, ANCHORS, STRIDE, dropout=0.5), torch.rand(1, 8, 4, 4)
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    head.dropout.train()
    first, second = head(x), head(x)
    assert torch.equal(first[..., :5], second[..., :5])
    assert not torch.equal(first[..., 5:], second[..., 5:])
    head.eval()
    assert torch.equal(head(x), head(x))
