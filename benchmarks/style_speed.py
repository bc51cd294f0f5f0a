"""Seconds and memory of ways to repaint a picture."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from style_contestants import Classic, Clock, Painter, repaint

PAUSE = 0.02  # seconds: the threads of the one before may still be waiting for work


def timed(work: Callable[[], object], clock: Clock) -> Callable[[], float]:
    """Makes of some work what does it and gives the seconds that it took."""

    def run() -> float:
        started = clock()
        work()
        return clock() - started

    return run


def take_turns(works: Sequence[Callable[[], float]], rounds: int) -> np.ndarray:
    """(rounds, works) what each gives; in every round each takes its turn, so that a busy machine slows all alike.

    A round before the first one does not count.
    """
    seconds = np.empty((rounds + 1, len(works)))
    for times in seconds:
        for i, work in enumerate(works):
            time.sleep(PAUSE)
            times[i] = work()
    return seconds[1:]


def peak_megabytes(work: Callable[..., None], *arguments: object) -> float | None:
    """The most main memory that a fresh process holds while it does some work; None where the system does not tell."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, work, *arguments).result()


def _peak(work: Callable[..., None], *arguments: object) -> float | None:
    from vision_app.detection.compare.measure import peak_memory

    work(*arguments)
    return peak_memory()


def repaint_once(load: Callable[[], Painter], size: tuple[int, int], style_side: int) -> None:
    """Loads a method and repaints noise of a width and height in the style of a square of noise."""
    repaint(load(), noise(*size), noise(style_side, style_side))


def iterate_once(load: Callable[[], Classic], size: tuple[int, int], style_side: int) -> None:
    """The same with the classic method's first iterations alone."""
    load().iterate(noise(*size), noise(style_side, style_side), time.perf_counter)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
