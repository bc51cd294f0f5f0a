"""A model over many inputs: batches in worker threads, rows in input order."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from vision_app.batch.journal import Journal
from vision_app.batch.sinks import OutputError
from vision_app.batch.sources import Input
from vision_app.core.errors import ImageError
from vision_app.core.memory import sharing_memory

Row = dict[str, Any]

Item = TypeVar("Item", bound=Input, contravariant=True)


class Task(Protocol[Item]):
    """What a command does with its inputs. The methods are called from several threads at once.

    Whatever `read`, `predict` or `save` raises fails the one input that it was called for, and the others are
    processed; except an OutputError, which stops the run: with a full disk, every other input would fail as well.
    """

    def read(self, item: Item) -> Any:
        """Load one input."""

    def predict(self, items: Sequence[Item], images: list[Any]) -> Sequence[Any]:
        """Return one result an input, each independent of the others; `images` are what `read` gave for `items`."""

    def save(self, item: Item, image: Any, result: Any) -> str | None:
        """Write what belongs to one input beside its row; it is in place before the row is.

        Returns:
            A note for the row, for example that a copy is missing; None: all is well.
        """

    def row(self, item: Item, result: Any | None) -> Row:
        """Return the task's part of a row, with the same keys when there is no result."""


def run(
    task: Task[Any],
    journal: Journal,
    *,
    workers: int,
    report: Callable[[list[Row]], None] = lambda rows: None,
) -> None:
    """Handle the inputs of a journal that have no row yet and write their rows in input order.

    With the journal's batch size B, batch k holds the inputs k·B … (k + 1)·B - 1, whatever fails among them. A
    worker takes a whole batch from reading to saving, so that reading one batch overlaps with predicting another; at
    most `workers` batches of images are in memory, and large images take turns, see `core.memory`. The journal is
    flushed after every batch.

    Args:
        task: What to do with an input.
        journal: The inputs and where their rows go; the run resumes after `journal.rows` of them.
        workers: Number of threads.
        report: Called with the rows of every batch after they are written.

    Raises:
        OutputError: Something could not be written. The rows written so far are safe.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
    pending: deque[Future[list[Row]]] = deque()

    def finish_oldest() -> None:
        rows = pending.popleft().result()
        journal.write(rows)
        report(rows)

    try:
        for start in range(journal.rows, len(journal.inputs), journal.batch_size):
            pending.append(pool.submit(_handle_batch, task, journal, start))
            if len(pending) > 2 * workers:
                finish_oldest()
        while pending:
            finish_oldest()
    finally:
        pool.shutdown(cancel_futures=True)


def _handle_batch(task: Task[Any], journal: Journal, start: int) -> list[Row]:
    """Return the rows of the batch that starts at a place."""
    batch, known = journal.inputs[start : start + journal.batch_size], journal.known
    journal.begin(start, batch)
    new = iter(handle(task, [item for place, item in enumerate(batch, start) if place not in known]))
    return [known[place] if place in known else next(new) for place in range(start, start + len(batch))]


@sharing_memory()
def handle(task: Task[Any], batch: Sequence[Input]) -> list[Row]:
    """Read, predict and save one batch and return its rows. The dicts below go by the place in the batch."""
    images: dict[int, Any] = {}
    results: dict[int, Any] = {}
    errors: dict[int, str] = {}

    def attempt(place: int, answers: dict[int, Any], step: Callable[..., Any], *arguments: Any) -> None:
        try:
            answers[place] = step(*arguments)
        except OutputError:
            raise
        except Exception as error:
            errors[place] = _reason(error)

    for place, item in enumerate(batch):
        attempt(place, images, _read, task, item)
    try:
        predicted = task.predict([batch[place] for place in images], list(images.values())) if images else []
        results = dict(zip(images, predicted, strict=True))
    except Exception:  # find out which image it was
        for place, image in images.items():
            attempt(place, results, _predict_one, task, batch[place], image)
    notes: dict[int, str | None] = {}
    for place, result in results.items():
        attempt(place, notes, task.save, batch[place], images[place], result)
    rows = []
    for place, item in enumerate(batch):
        failed = place in errors
        row = {"file": item.file, "status": "failed" if failed else "ok", "error": errors.get(place)}
        row |= task.row(item, None if failed else results[place])
        rows.append(row | ({"notes": [note]} if (note := notes.get(place)) else {}))
    return rows


def _read(task: Task[Any], item: Input) -> Any:
    if item.problem:
        raise ImageError(item.file, item.problem)
    return task.read(item)


def _predict_one(task: Task[Any], item: Input, image: Any) -> Any:
    (result,) = task.predict([item], [image])
    return result


def _reason(error: Exception) -> str:
    """Return what a row says of an error; the row names the file already."""
    if isinstance(error, ImageError):
        return error.reason
    return f"{type(error).__name__}: {error}".rstrip(": ")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
