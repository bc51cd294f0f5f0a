"""Learning rates, compared with torch's own schedulers wherever it has the same one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision_app.training.schedules import PLATEAU_DROP, SCHEDULES, factor, plateau, waited

STEPS, FINAL, CYCLES = 60, 0.05, 3
LR = torch.optim.lr_scheduler
REFERENCES = {
    "constant": lambda optimizer: LR.ConstantLR(optimizer, factor=1.0),
    "step": lambda optimizer: LR.StepLR(optimizer, STEPS // CYCLES, gamma=math.sqrt(FINAL)),
    "exponential": lambda optimizer: LR.ExponentialLR(optimizer, FINAL ** (1 / STEPS)),
    "cosine": lambda optimizer: LR.CosineAnnealingLR(optimizer, STEPS, eta_min=FINAL),
    "restarts": lambda optimizer: LR.CosineAnnealingWarmRestarts(optimizer, STEPS // CYCLES, eta_min=FINAL),
    "triangle": lambda optimizer: LR.CyclicLR(optimizer, FINAL, 1.0, STEPS // CYCLES // 2, cycle_momentum=False),
    # torch's last step is at the end, ours one before it; and its final factor is that of the first rate
    "one-cycle": lambda optimizer: LR.OneCycleLR(
        optimizer, 1.0, STEPS + 1, pct_start=0.3 + 0.7 / (STEPS + 1), div_factor=25, final_div_factor=1 / (25 * FINAL),
        cycle_momentum=False,
    ),
}  # fmt: skip


def test_every_schedule_has_a_reference():
    assert REFERENCES.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_those_of_torch(name):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    scheduler = REFERENCES[name](optimizer)
    for index in range(STEPS):
        rate = factor(name, index, STEPS, 0, min_ratio=FINAL, cycles=CYCLES)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], abs=1e-6), index
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("name", [*SCHEDULES, "plateau"])
def test_the_warm_up_is_a_straight_line_before_all_the_rest(name):
    """The line's last step is where the schedule starts, of a run of as many steps as are left."""
    rates = [factor(name, index, STEPS + 8, 8, min_ratio=FINAL, cycles=CYCLES) for index in range(STEPS + 8)]
    start = {"one-cycle": 0.04, "triangle": FINAL}.get(name, 1.0)
    assert rates[:8] == pytest.approx([start * (i + 1) / 8 for i in range(8)])
    assert rates[8:] == pytest.approx([factor(name, i, STEPS, 0, min_ratio=FINAL, cycles=CYCLES) for i in range(STEPS)])


@given(
    st.sampled_from(sorted(SCHEDULES)), st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0.05, 1),
    st.integers(1, 20), st.data(),
)  # fmt: skip
def test_factors_stay_between_the_final_one_and_one(name, steps, warmup, final, cycles, data):
    index = data.draw(st.integers(0, steps - 1))
    lowest = min(final, 0.04) / max(1, warmup)
    assert lowest * (1 - 1e-9) <= factor(name, index, steps, warmup, min_ratio=final, cycles=cycles) <= 1 + 1e-9


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_that_of_torch(patience):
    measured = [0.1, 0.2, 0.2, 0.15, 0.1, 0.3, 0.3, 0.25, 0.2, 0.2, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = LR.ReduceLROnPlateau(
        optimizer, "max", PLATEAU_DROP, patience - 1, threshold=0, min_lr=FINAL, eps=0
    )  # torch lowers the rate when patience is exceeded, ours when it is used up
    for count, value in enumerate(measured, start=1):
        reference.step(value)
        assert plateau(measured[:count], patience, FINAL) == pytest.approx(optimizer.param_groups[0]["lr"]), count


@pytest.mark.parametrize(
    ("measured", "expected"),
    [([], 0), ([0.3], 0), ([0.1, 0.3], 0), ([0.3, 0.1], 1), ([0.3, 0.3], 1), ([1, 0, 2, 0], 1)],
)
def test_measurements_since_the_best_are_counted(measured, expected):
    assert waited(measured) == expected
