"""How to repaint a picture: every setting, checked when it is made. Imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from vision_app.core.errors import UsageError, unknown
from vision_app.core.flags import check_choice, check_ranges, flag

METHODS = ("optimize", "fast", "color")
KEEP_COLORS = ("no", "luminance", "histogram")
OF_OPTIMIZE = ("alpha", "beta", "total_variation", "iterations", "optimizer", "start", "seed")
RANGES = {"strength": (0.0, 1.0), "size": (32, 16_384), "style_size": (64, 4096)}
LARGEST_WEIGHT = 1e9  # of a style: only ratios matter, and sums must stay finite


@dataclass(frozen=True)
class StyleOptions:
    """How to repaint a picture.

    Attributes:
        strength: how much of the style, 0 to 1; 0 leaves the content as it is.
        size: long side of the result in pixels, reached by scaling the content down or up. By default the result has
            the content's size; with "optimize" its long side is at most 1024.
        style_size: longest side in pixels at which styles are looked at, larger ones are scaled down; the coarser the
            style is seen, the finer are its strokes. By default 512; "optimize" looks at each style at the size of
            the picture.
        keep_colors: the content's colors stay: "no", "luminance" (only the light and dark of the result is painted) or
            "histogram" (each color channel is as frequent as it was).
        weights: of several styles in one picture, 0 to 1e9, in their order; equal by default.
        alpha, beta: weights of content and style, of "optimize" alone, as are the following; each None stands for the
            default of `optimize.OptimizeConfig`.
        total_variation: weight of the mean length of gradients, which keeps noise down.
        iterations: steps of the optimizer.
        optimizer: "lbfgs" or "adam".
        start: picture to begin with, "content", "noise" or "fast".
        seed: of noise.

    Raises:
        UsageError: a value is out of its range or unknown; names the option and the nearest valid value.
    """

    strength: float = 1.0
    size: int | None = None
    style_size: int | None = None
    keep_colors: str = "no"
    weights: tuple[float, ...] | None = None
    alpha: float | None = None
    beta: float | None = None
    total_variation: float | None = None
    iterations: int | None = None
    optimizer: str | None = None
    start: str | None = None
    seed: int | None = None

    def __post_init__(self):
        given = {name: ends for name, ends in RANGES.items() if name == "strength" or getattr(self, name) is not None}
        check_ranges(self, given)
        check_choice("keep_colors", self.keep_colors, KEEP_COLORS)
        if self.weights is not None:
            object.__setattr__(self, "weights", _checked_weights(self.weights))  # the dataclass is frozen

    @property
    def of_optimize(self) -> dict[str, Any]:
        """The fields that only the method "optimize" knows and that were given, by name."""
        return {name: value for name in OF_OPTIMIZE if (value := getattr(self, name)) is not None}

    def changed(self, changes: dict[str, Any]) -> "StyleOptions":
        """These options with other values of some fields.

        Raises:
            UsageError: there is no such option, or see the class.
        """
        names = [field.name for field in fields(self)]
        for name in changes:
            if name not in names:
                raise UsageError(unknown("option", name, names))
        return replace(self, **changes)

    def check_method(self, method: str) -> None:
        """Refuses options that a method would pass over.

        Raises:
            UsageError: names one of them; or there is no such method.
        """
        check_choice("method", method, METHODS)
        if method != "optimize" and (given := self.of_optimize):
            raise UsageError(f"{flag(next(iter(given)))}: belongs to --method optimize, not to {method}; leave it out")
        if method == "color" and self.keep_colors != "no":
            raise UsageError(f"--keep-colors {self.keep_colors}: --method color changes nothing but colors; leave one")

    def shares(self, styles: int) -> tuple[float, ...]:
        """The weights of so many styles, their sum being 1.

        Raises:
            UsageError: there are more or fewer weights than styles.
        """
        weights = self.weights or (1.0,) * styles
        if len(weights) != styles:
            numbers = f"{len(weights)} number{'s' * (len(weights) != 1)}"
            raise UsageError(f"--weights: {numbers} for {styles} style{'s' * (styles != 1)}; give one a style")
        return tuple(weight / sum(weights) for weight in weights)


def _checked_weights(weights: Sequence[float]) -> tuple[float, ...]:
    try:
        found = tuple(map(float, weights))
    except (TypeError, ValueError):
        raise UsageError(f"--weights {weights!r}: must be numbers, one for each style") from None
    if not all(0 <= weight <= LARGEST_WEIGHT for weight in found) or not sum(found):
        text = ",".join(map(str, weights))
        raise UsageError(f"--weights {text}: must be numbers from 0 to {LARGEST_WEIGHT:g}, one of them above 0")
    return found
