"""Settings under the names that the caller knows: how a value out of its range is refused. Imports nothing heavy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

from vision_app.core.errors import UsageError, nearest

_commands = 0  # that run in this process


def check_ranges(options: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse fields outside their ranges, both ends included. A range of whole numbers wants a whole number.

    Raises:
        UsageError: Names the option and the nearest valid value.
    """
    for name, (low, high) in ranges.items():
        value: Any = getattr(options, name)
        whole = isinstance(low, int)
        is_number = isinstance(value, Integral if whole else Real)
        if not is_number:
            raise UsageError(f"{flag(name)} {value!r}: must be a {'whole ' * whole}number")
        if wrong := range_error(value, low, high):
            raise UsageError(f"{flag(name)} {value}: {wrong}")


def check_range(name: str, value: float, low: float, high: float | None = None) -> None:
    """Refuse a number outside its range, both ends included; raises UsageError as `check_ranges` does."""
    if wrong := range_error(value, low, high):
        raise UsageError(f"{flag(name)} {value:g}: {wrong}")


def range_error(value: float, low: float, high: float | None = None) -> str | None:
    """Say what is wrong with a number outside its range, both ends included, and return None inside it."""
    if high is None:
        return None if value >= low else f"must be at least {low}; the nearest valid value is {low}"
    if low <= value <= high:
        return None
    return f"must lie between {low} and {high}; the nearest valid value is {high if value > high else low}"


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a field that is none of its choices.

    Raises:
        UsageError: Names the option and the nearest valid value.
    """
    if value not in choices:
        guess = nearest(str(value), choices)
        hint = f"; did you mean {guess}?" if guess else ""
        raise UsageError(f"{flag(name)} {value}: must be one of {', '.join(choices)}{hint}")


def flag(name: str) -> str:
    """Return an option as the caller knows it: `--batch-size` while a command runs, `batch_size` in Python."""
    return "--" + name.replace("_", "-") if is_command() else name


def is_command() -> bool:
    """Return whether a command runs, and options are named as flags."""
    return _commands > 0


@contextmanager
def command_line() -> Iterator[None]:
    """Name options as flags while the block runs, in all threads."""
    global _commands
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1
