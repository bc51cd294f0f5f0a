"""Learning rates as pure functions: of the step, and for "plateau" of what has been measured so far.

Each schedule gives the factor on the base learning rate at a moment of the run between its warm-up (0) and its end (1).
`final` is the lowest factor it comes to.
"""

import math
from collections.abc import Callable, Sequence

ONE_CYCLE_START, ONE_CYCLE_PEAK = 0.04, 0.3  # where the rate starts, and when it is highest
PLATEAU_DROP = 0.3


def constant(moment: float, final: float, cycles: int) -> float:
    """The full rate throughout."""
    return 1.0


def step(moment: float, final: float, cycles: int) -> float:
    """`cycles` stages of equal length, each lower than the one before by the same factor; the last is at `final`."""
    stage = min(int(moment * cycles + 1e-9), cycles - 1)
    return final ** (stage / (cycles - 1)) if cycles > 1 else 1.0


def exponential(moment: float, final: float, cycles: int) -> float:
    """From 1 down to `final`, by the same factor each step."""
    return final**moment


def cosine(moment: float, final: float, cycles: int) -> float:
    """Half a cosine from 1 down to `final` (Loshchilov and Hutter, 2017)."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * moment))


def restarts(moment: float, final: float, cycles: int) -> float:
    """`cycles` half cosines after one another (SGDR, Loshchilov and Hutter, 2017)."""
    return cosine(1.0 if moment >= 1 else moment * cycles % 1, final, cycles)


def triangle(moment: float, final: float, cycles: int) -> float:
    """`cycles` straight rises from `final` to 1 and falls back (cyclical learning rates, Smith, 2017)."""
    return final + (1 - final) * (1 - abs(2 * (moment * cycles % 1) - 1))


def one_cycle(moment: float, final: float, cycles: int) -> float:
    """One rise from a 25th of the rate to 1 and one fall to `final`, both half cosines (Smith and Topin, 2018)."""
    if moment < ONE_CYCLE_PEAK:
        return cosine(1 - moment / ONE_CYCLE_PEAK, ONE_CYCLE_START, cycles)
    return cosine((moment - ONE_CYCLE_PEAK) / (1 - ONE_CYCLE_PEAK), final, cycles)


SCHEDULES: dict[str, Callable[[float, float, int], float]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
    "restarts": restarts,
    "triangle": triangle,
    "one-cycle": one_cycle,
}


def factor(name: str, index: int, steps: int, warmup: int, *, final: float, cycles: int) -> float:
    """Factor on the base learning rate: a linear rise in `warmup` steps to where the schedule starts, then that.

    Args:
        name: in `SCHEDULES`; any other ("plateau") is as "constant".
        index: of the step, 0 to `steps` - 1.
        steps: length of the whole run.
        warmup: steps of the rise, 0 for none.
        final: lowest factor, 0 to 1.
        cycles: stages or cycles, for the schedules that have them.
    """
    schedule = SCHEDULES.get(name, constant)
    if index < warmup:
        return (index + 1) / warmup * schedule(0.0, final, cycles)
    return schedule((index - warmup) / (steps - warmup), final, cycles)


def waited(measured: Sequence[float]) -> int:
    """How many of the last measurements brought nothing better than the best before them; higher is better."""
    return len(measured) - 1 - measured.index(max(measured)) if measured else 0


def plateau(measured: Sequence[float], patience: int, final: float) -> float:
    """Factor after some measurements: lowered, not below `final`, each time `patience` of them brought nothing better.

    The one schedule that depends on how training goes; what it needs to know are the measurements.
    """
    factor, best, since = 1.0, -math.inf, 0
    for value in measured:
        best, since = (value, 0) if value > best else (best, since + 1)
        if since == patience:
            factor, since = factor * PLATEAU_DROP, 0
    return max(factor, final)
