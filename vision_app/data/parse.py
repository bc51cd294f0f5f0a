"""Numbers, flags, ids and class names as people and tools write them, the same for every format."""

import re
from collections import Counter
from collections.abc import Sequence

from vision_app.core.errors import DataError

_LARGEST = 1e9
_WHOLE = re.compile(r"(-?)0*([0-9]+)(?:\.0*)?")
_FLAGS = dict.fromkeys(("0", "false", "no", "f", "n", "off"), False) | dict.fromkeys(
    ("1", "true", "yes", "t", "y", "on"), True
)


def number(value: object) -> float | None:
    """Return a number, also one that is written as text; None for anything else, such as NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < _LARGEST else None


def numbers(values: object) -> list[float] | None:
    """Return a list of numbers; None for anything else."""
    found = [number(value) for value in values] if isinstance(values, list | tuple) else [None]
    return None if None in found else [value for value in found if value is not None]


def whole_number(value: object) -> int | None:
    """Return a whole number, also one that is written as text; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def flag(value: object) -> bool | None:
    """Return what a switch says, in any of the usual words and numbers; None for words that are none of these."""
    if isinstance(value, str) and (word := value.strip().lower()) in _FLAGS:
        return _FLAGS[word]
    found = float(value) if isinstance(value, bool) else number(value)
    return None if found is None else found != 0


def key(value: object) -> str | None:
    """Return an id as text, such that 1, 1.0, "1", "01" and "1.0" are one id; None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else None
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return "".join(whole.groups()) if whole else text or None


def class_names(values: Sequence[object], where: str) -> tuple[str, ...]:
    """Return the names of classes, as written.

    Args:
        values: The names in order.
        where: What lists them, for the message.

    Raises:
        DataError: One is empty, missing, not a text, or there twice.
    """
    names = [value for value in values if isinstance(value, str) and value.strip()]
    if len(names) < len(values):
        place, wrong = next((i, one) for i, one in enumerate(values) if not (isinstance(one, str) and one.strip()))
        given = "nothing" if wrong is None or wrong == "" else repr(wrong)
        raise DataError(f"{where} has {given} as the name of class {place}; each class needs a name of its own")
    bare = [name.strip() for name in names]  # nobody sees the difference between 'dog' and 'dog '
    if len(set(bare)) < len(bare):
        twice = next(name for name, uses in Counter(bare).items() if uses > 1)
        raise DataError(f"{where} lists {twice!r} more than once; each class needs a name of its own")
    return tuple(names)
