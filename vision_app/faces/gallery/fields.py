"""The fields of a photo's row, checked: what a file says where it shows a face, and how well."""

import sys
from dataclasses import fields
from reprlib import repr as shortened
from typing import Any

import numpy as np

from vision_app.core.files import parse_json
from vision_app.faces.quality import Quality

_SHAPES = {"box": ((4,), "four numbers"), "landmarks": ((5, 2), "five pairs of numbers")}
_QUALITY = tuple(field.name for field in fields(Quality))


def read_places(box: str, landmarks: str, quality: str) -> tuple[list[float], list[list[float]], dict[str, Any]]:
    """Return the values of a gallery's row, which has them as JSON; see `check_places`.

    Raises:
        ValueError: One is damaged; says which field, and why.
    """
    texts, values = {"box": box, "landmarks": landmarks, "quality": quality}, {}
    for name, text in texts.items():
        try:
            values[name] = parse_json(text)
        except ValueError:
            raise ValueError(f"'{name}' is not JSON") from None
    check_places(**values)
    return values["box"], values["landmarks"], values["quality"]


def check_places(box: Any, landmarks: Any, quality: Any) -> None:
    """Check where a photo shows a face and how well, as `EnrolledPhoto` has them.

    Raises:
        ValueError: One is damaged; says which field, and why.
    """
    for name, given in (("box", box), ("landmarks", landmarks)):
        shape, words = _SHAPES[name]
        try:
            places = np.array(given, object)
            is_numbers = all(type(number) in (int, float) for number in places.flat)  # no texts, true or false
            places = places.astype(np.float64) if is_numbers else np.zeros(0)
        except (ValueError, TypeError, OverflowError):
            places = np.zeros(0)
        if places.shape != shape or not np.isfinite(places).all():
            raise ValueError(f"'{name}' is {shortened(given)}, not {words}")
    if not isinstance(quality, dict):
        raise ValueError(f"'quality' is {shortened(quality)}, not an object")
    if lost := next((name for name in _QUALITY if name not in quality), None):
        raise ValueError(f"'quality' has no '{lost}'")
    if more := next((name for name in quality if name not in _QUALITY), None):
        raise ValueError(f"'quality' has {shortened(more)}, which is none of {', '.join(_QUALITY)}")
    for name, value in quality.items():
        if name == "reasons":
            if not isinstance(value, list) or not all(isinstance(reason, str) for reason in value):
                raise ValueError(f"'quality' has 'reasons': {shortened(value)}, not a list of texts")
        elif not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise ValueError(f"'quality' has '{name}': {shortened(value)}, not a finite number")
