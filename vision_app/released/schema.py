"""What model.json must be: checked once, when a model is opened, so that nothing behind it meets another kind of value.

By hand rather than by a library: the import of pydantic 2.14 took 0.10 s of processor time, where opening a model takes
0.15 s and this check 0.1 ms.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Check = Callable[[Any], bool]

MISSING = object()
MOST = 100_000  # classes, values of a section, and any number in it that has no closer bound


def _whole(low: float, high: float, value: Any) -> bool:
    return type(value) is int and low <= value <= high


def _number(low: float, high: float, value: Any) -> bool:
    return type(value) in (int, float) and low <= value <= high  # NaN is in no range


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000


def _list(each: Check, value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(map(each, value))


def _file_name(value: str) -> bool:
    return 0 < len(value) <= 255 and value not in (".", "..") and not any(c in '/\\:\0"' for c in value)


def _file(value: Any) -> bool:
    known = isinstance(value, dict) and _text(value.get("sha256"))
    return known and _whole(0, math.inf, value.get("bytes", 0))


def _files(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_file_name, value)) and all(map(_file, value.values()))


def _section(value: Any) -> bool:
    """Return whether a section has values of bounded size only, and not too many."""
    return isinstance(value, dict) and all(map(_bounded, _leaves(value, [0], 0)))


def _bounded(value: Any) -> bool:
    return value is None or isinstance(value, bool) or _text(value) or _number(-MOST, MOST, value)


def _leaves(value: Any, seen: list[int], depth: int) -> Iterator[Any]:
    """Yield the values in lists and objects; infinity, which is out of bounds, where they are too many or too deep."""
    seen[0] += 1
    if depth > 10 or seen[0] > MOST:
        yield math.inf
    elif isinstance(value, dict | list):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _leaves(each, seen, depth + 1)
    else:
        yield value


_NAMES = partial(_list, _text)
_SIDE = partial(_number, 1e-3, MOST)
REQUIRED: dict[str, Check] = {
    "task": _text,
    "classes": _NAMES,
    "architecture": _section,
    "input": _section,
    "defaults": _section,
    "files": _files,
}
OPTIONAL: dict[str, Check] = {
    "measured": lambda value: isinstance(value, dict),
    "contract": _text,
    "parameters": partial(_whole, 0, math.inf),
    "input.size": partial(_whole, 1, 8192),
    "input.pad": partial(_whole, 0, 255),
    "input.stretch": partial(_number, 1, 16),
    "input.views": _NAMES,
    "defaults.confidence": partial(_number, 0, 1),
    "defaults.iou": partial(_number, 0, 1),
    "defaults.max_detections": partial(_whole, 1, MOST),
    "architecture.classes": partial(_whole, 1, MOST),
    "architecture.strides": partial(_list, partial(_whole, 1, 1024)),
    "architecture.anchors": partial(_list, partial(_list, partial(_list, _SIDE))),
    "architecture.embedding": partial(_whole, 1, MOST),
    "landmarks": _section,
    "landmarks.names": _NAMES,
    "landmarks.classes": _NAMES,
}


def unusable_key(info: Any) -> str | None:
    """Return a key of model.json whose value cannot be used, such as "input.size"; None where all can.

    The number of classes and landmarks in the architecture must be that of their names.
    """
    has_landmarks = lookup(info, "landmarks") is not MISSING
    required = {*REQUIRED, *(["landmarks.names", "landmarks.classes"] if has_landmarks else [])}
    for key, check in (REQUIRED | OPTIONAL).items():
        found = lookup(info, key)
        if found is MISSING and key in required:
            return key
        if found is not MISSING and not check(found):
            return key
    if lookup(info, "architecture.classes") not in (MISSING, len(info["classes"])):
        return "classes"
    landmarks = len(info["landmarks"]["names"]) if has_landmarks else 0
    return "landmarks.names" if lookup(info, "architecture.landmarks") not in (MISSING, landmarks) else None


def lookup(info: Any, key: str) -> Any:
    """Return the value of a key such as "input.size", or MISSING."""
    for part in key.split("."):
        info = info.get(part, MISSING) if isinstance(info, dict) else MISSING
    return info
