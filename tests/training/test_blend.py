import pytest
import torch

from vision_app.training.blend import blend

START = {"weight": torch.tensor([[1.0, 2.0]]), "count": torch.tensor(3)}
TRAINED = {"weight": torch.tensor([[5.0, 0.0]]), "count": torch.tensor(9)}


@pytest.mark.parametrize(("fraction", "expected"), [(0, [1.0, 2.0]), (0.25, [2.0, 1.5]), (1, [5.0, 0.0])])
def test_weights_lie_on_the_line_between_and_counters_are_the_trained_ones(fraction, expected):
    mixed = blend(START, TRAINED, fraction)
    assert mixed["weight"].tolist() == [expected]
    assert mixed["count"] == 9


@pytest.mark.parametrize(
    "other", [{"weight": torch.ones(2, 2), "count": torch.tensor(0)}, {"weight": torch.ones(1, 2)}]
)
def test_other_architectures_are_refused(other):
    with pytest.raises(ValueError, match="same architecture"):
        blend(START, other, 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_fractions_outside_are_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        blend(START, TRAINED, fraction)
