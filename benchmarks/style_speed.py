"""Seconds and memory of methods to stylize an image."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from style_contestants import Classic, Clock, Method, stylize

from vision_app.core.child_process import end_with_parent

PAUSE = 0.02  # seconds: the threads of the previous one may still be waiting for work


def timed(work: Callable[[], object], clock: Clock) -> Callable[[], float]:
    """Return a function that does some work and returns the seconds that it took."""

    def run() -> float:
        started = clock()
        work()
        return clock() - started

    return run


def take_turns(works: Sequence[Callable[[], float]], rounds: int) -> np.ndarray:
    """Return the result of each work in each round, (rounds, works).

    In every round each takes its turn, so that a busy machine slows all alike. A first round warms up.
    """
    seconds = np.empty((rounds + 1, len(works)))
    for times in seconds:
        for i, work in enumerate(works):
            time.sleep(PAUSE)
            times[i] = work()
    return seconds[1:]


def peak_megabytes(work: Callable[..., None], *arguments: object) -> float | None:
    """Return the peak memory of a new process that does some work; None where the system does not tell."""
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        return pool.submit(_peak, work, *arguments).result()


def _peak(work: Callable[..., None], *arguments: object) -> float | None:
    from vision_app.detection.compare.measure import peak_memory

    work(*arguments)
    return peak_memory()


def stylize_once(load: Callable[[], Method], size: tuple[int, int], style_side: int) -> None:
    """Load a method and stylize noise of a width and height with a square of noise."""
    stylize(load(), noise(*size), noise(style_side, style_side))


def iterate_once(load: Callable[[], Classic], size: tuple[int, int], style_side: int) -> None:
    """Do the same with only the first iterations of the classic method."""
    load().iterate(noise(*size), noise(style_side, style_side), time.perf_counter)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
