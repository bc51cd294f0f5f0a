"""Learning rates as pure functions: of the step, and for "plateau" of what has been measured so far.

Each schedule gives the factor on the base learning rate at a moment of the run between its warm-up (0) and its end (1).
`min_ratio` is the lowest factor it comes to.
"""

import math
from collections.abc import Callable, Sequence

ONE_CYCLE_START, ONE_CYCLE_PEAK = 0.04, 0.3  # where the rate starts, and when it is highest
PLATEAU_DROP = 0.3


def constant(moment: float, min_ratio: float, cycles: int) -> float:
    """Stay at the peak throughout."""
    return 1.0


def step(moment: float, min_ratio: float, cycles: int) -> float:
    """Fall in `cycles` stages of equal length, each by the same factor; the last stage is at `min_ratio`."""
    stage = min(int(moment * cycles + 1e-9), cycles - 1)
    return math.pow(min_ratio, stage / (cycles - 1)) if cycles > 1 else 1.0


def exponential(moment: float, min_ratio: float, cycles: int) -> float:
    """Fall from 1 to `min_ratio`, by the same factor each step."""
    return math.pow(min_ratio, moment)


def cosine(moment: float, min_ratio: float, cycles: int) -> float:
    """Fall from 1 to `min_ratio` along half a cosine (Loshchilov and Hutter, 2017)."""
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * moment))


def restarts(moment: float, min_ratio: float, cycles: int) -> float:
    """Fall along `cycles` half cosines, one after another (SGDR, Loshchilov and Hutter, 2017)."""
    return cosine(1.0 if moment >= 1 else moment * cycles % 1, min_ratio, cycles)


def triangle(moment: float, min_ratio: float, cycles: int) -> float:
    """Rise from `min_ratio` to 1 and fall back, `cycles` times (cyclical learning rates, Smith, 2017)."""
    return min_ratio + (1 - min_ratio) * (1 - abs(2 * (moment * cycles % 1) - 1))


def one_cycle(moment: float, min_ratio: float, cycles: int) -> float:
    """Rise from a 25th to 1 and fall to `min_ratio`, both half cosines (Smith and Topin, 2018)."""
    if moment < ONE_CYCLE_PEAK:
        return cosine(1 - moment / ONE_CYCLE_PEAK, ONE_CYCLE_START, cycles)
    return cosine((moment - ONE_CYCLE_PEAK) / (1 - ONE_CYCLE_PEAK), min_ratio, cycles)


SCHEDULES: dict[str, Callable[[float, float, int], float]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
    "restarts": restarts,
    "triangle": triangle,
    "one-cycle": one_cycle,
}


def factor(name: str, index: int, steps: int, warmup: int, *, min_ratio: float, cycles: int) -> float:
    """Return the factor on the peak learning rate: a linear warm-up to where the schedule starts, then the schedule.

    Args:
        name: In `SCHEDULES`; any other ("plateau") is as "constant".
        index: Of the step, 0 to `steps` - 1.
        steps: Length of the whole run.
        warmup: Steps of the warm-up, 0 for none.
        min_ratio: Lowest factor, 0 to 1.
        cycles: Stages or cycles, for the schedules that have them.
    """
    schedule = SCHEDULES.get(name, constant)
    if index < warmup:
        return (index + 1) / warmup * schedule(0.0, min_ratio, cycles)
    return schedule((index - warmup) / (steps - warmup), min_ratio, cycles)


def waited(measured: Sequence[float]) -> int:
    """Return how many of the last measurements were no better than the best before them; higher is better."""
    return len(measured) - 1 - measured.index(max(measured)) if measured else 0


def plateau(measured: Sequence[float], patience: int, min_ratio: float) -> float:
    """Return the factor after some measurements: lowered whenever `patience` of them brought no improvement.

    It never falls below `min_ratio`. This is the one schedule that depends on how training goes.
    """
    factor, best, since = 1.0, -math.inf, 0
    for value in measured:
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == patience:
            factor, since = factor * PLATEAU_DROP, 0
    return max(factor, min_ratio)
