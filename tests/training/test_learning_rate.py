"""The rate of a run, and the search for one on a loss whose best rate is known."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_task import CONFIG, TinyTask
from torch import nn

from vision_app.core.errors import DataError, UsageError
from vision_app.training.learning_rate import find_learning_rate, learning_rate, plot_schedule, smoothed, suggest


def test_the_rate_warms_up_and_then_follows_its_schedule():
    """4 epochs of 10 steps: 5 of warm-up, then 35 of a straight fall by halves."""
    config = replace(CONFIG, warmup_epochs=0.5, schedule="step", cycles=2, min_lr_ratio=0.5)
    rates = [learning_rate(config, index, 10) for index in range(40)]
    assert rates == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, *[0.05] * 18, *[0.025] * 17])
    plateau = replace(config, schedule="plateau", plateau_patience=1)
    assert [learning_rate(plateau, 20, 10, measured) for measured in ([], [2, 3], [2, 1])] == [0.05, 0.05, 0.025]


@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5])
def test_one_cycle_starts_low_and_has_one_peak(warmup_epochs):
    config = replace(CONFIG, schedule="one-cycle", warmup_epochs=warmup_epochs, learning_rate=1.0)
    rates = np.array([learning_rate(config, index, 10) for index in range(40)])
    assert rates[: int(10 * warmup_epochs) + 1].max() == pytest.approx(0.04)
    peak = rates.argmax()
    assert rates[peak] == pytest.approx(1.0, abs=0.01)
    assert (np.diff(rates[: peak + 1]) >= 0).all() and (np.diff(rates[peak:]) < 0).all()


def test_the_drawn_schedule_falls_from_top_left_to_bottom_right(tmp_path):
    """The curve of a falling line runs from the top left to the bottom right."""
    plot_schedule(replace(CONFIG, schedule="exponential", warmup_epochs=0.0), tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    blue = pixels[..., 2] - pixels[..., 0] > 80
    columns = np.flatnonzero(blue.any(axis=0))
    heights = [np.flatnonzero(blue[:, column]).mean() for column in columns]
    assert columns[-1] - columns[0] > pixels.shape[1] / 2 and (np.diff(heights) >= -1).all()
    assert heights[-1] - heights[0] > pixels.shape[0] / 2
    with pytest.raises(UsageError, match=r"--plot-schedule .*none.*: its folder does not exist"):
        plot_schedule(CONFIG, tmp_path / "none" / "a.png")


class Parabola(TinyTask):
    """Loss 10 w^2 / 2 per sample: plain gradient descent converges below a rate of 0.2 and diverges above."""

    def __init__(self, slope=10.0):
        super().__init__()
        self.network, self.slope = nn.Conv2d(3, 1, 1, bias=False), slope
        nn.init.constant_(self.network.weight, 1.0)

    def loss(self, images, output, targets):
        loss = self.slope * len(images) * self.network.weight.square().sum() / 2 + 0 * output.sum()
        return loss, torch.tensor(float(len(images))), {}


def test_the_search_ends_where_the_loss_diverges_and_stays_below(tmp_path):
    lines = []
    config = replace(CONFIG, optimizer="sgd", weight_decay=0.0, clip=1e6)
    found = find_learning_rate(Parabola(), config, tmp_path / "run", log=lines.append)
    assert 0.002 < found < 0.2
    rows = [tuple(map(float, row.values())) for row in csv.DictReader((tmp_path / "run/learning_rates.csv").open())]
    rates, losses, means = zip(*rows, strict=True)
    assert rates[0] == 1e-6 and 0.2 < rates[-1] < 10  # it did not go on to the end
    assert np.diff(np.log(rates)) == pytest.approx(np.log(1e7) / 99)
    expected, weight = [], 1.0
    for rate in rates:
        expected.append(15 * weight**2)  # of three weights
        weight *= 1 - 10 * rate
    assert losses == pytest.approx(expected, rel=1e-2)
    assert list(means) == pytest.approx(smoothed(losses)) and found == suggest(rates, means)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"learning_rates.csv", "learning_rates.png"}
    assert lines[0] == "searching for a learning rate: up to 100 steps from 1e-06 to 10"
    assert lines[1].startswith("step 1/100 learning rate 1e-06 loss 15, at most ") and lines[1].endswith(" left")
    assert lines[-1] == f"plotted in {tmp_path / 'run' / 'learning_rates.png'}"


def test_a_search_that_finds_no_learning_rate_is_an_error(tmp_path):
    with pytest.raises(DataError, match="the loss fell at no learning rate between 1e-06 and 10"):
        find_learning_rate(
            Parabola(slope=-1.0), replace(CONFIG, optimizer="sgd", weight_decay=0.0), tmp_path, log=print
        )


def test_smoothing_starts_without_a_bias():
    assert smoothed([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    assert smoothed([1.0, 2.0])[-1] == pytest.approx((0.09 * 1 + 0.1 * 2) / 0.19)
