"""How to stylize an image: every setting, checked when it is made. Imports nothing heavy."""

from dataclasses import dataclass, fields, replace
from typing import Any

from vision_app.core.errors import UsageError, unknown
from vision_app.core.flags import check_choice, check_ranges, flag

METHODS = ("optimize", "fast", "color")
KEEP_COLORS = ("no", "luminance", "histogram")
STARTS = ("content", "noise", "fast")
OPTIMIZERS = ("lbfgs", "adam")
RANGES = {"strength": (0.0, 1.0), "size": (32, 16_384), "style_size": (64, 4096)}
OPTIMIZE_RANGES = {
    "alpha": (0.0, 1e6), "beta": (0.0, 1e9), "total_variation": (0.0, 1e6), "strength": (0.0, 1.0),
    "iterations": (1, 10_000), "seed": (0, 2**32 - 1),
}  # fmt: skip
MAX_WEIGHT = 1e9  # of a style: only ratios matter, and sums must stay finite


@dataclass(frozen=True)
class OptimizeConfig:
    """What "optimize" minimizes, J = alpha J_content + beta J_style + total_variation J_variation, and how.

    Attributes:
        alpha: Weight of the content. Losses are relative to their targets, so only the ratio to `beta` matters.
        beta: Weight of the style.
        total_variation: Weight of the mean gradient magnitude, which suppresses noise.
        strength: Amount of style, 0 to 1: moves the target Gram matrices from the content's to the style's.
        iterations: Evaluations of J and its gradient, over all sizes together.
        optimizer: "lbfgs" or "adam".
        start: Initial image: "content", "noise", or "fast" for the result of the fast method.
        seed: Random seed of the noise.

    Raises:
        UsageError: A value is out of its range or unknown; names the option and the nearest valid value.
    """

    alpha: float = 1.0
    beta: float = 100.0
    total_variation: float = 4.0
    strength: float = 1.0
    iterations: int = 150
    optimizer: str = "lbfgs"
    start: str = "content"
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, OPTIMIZE_RANGES)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("start", self.start, STARTS)
        if self.alpha == 0 and self.beta == 0:
            raise UsageError(f"{flag('alpha')} 0 {flag('beta')} 0: one of content and style must count")


OPTIMIZE_ONLY = tuple(field.name for field in fields(OptimizeConfig) if field.name != "strength")


@dataclass(frozen=True)
class StyleOptions:
    """How to stylize an image. `alpha` and all that follow are settings of "optimize" alone, see `OptimizeConfig`.

    Attributes:
        strength: Amount of style, 0 to 1; 0 leaves the content as it is.
        size: Long side of the result in pixels; the content is scaled down or up. None: the content's size, with
            "optimize" at most 1024.
        style_size: Maximum long side of style images in pixels; larger ones are scaled down. Smaller styles give finer
            strokes. None: 512, with "optimize" the size of the result.
        keep_colors: Keep the content's colors: "no", "luminance" (only the lightness of the result is stylized) or
            "histogram" (the color channels keep their histograms).
        weights: Of several styles mixed in one image, 0 to 1e9, in their order; None: equal.
        alpha: None here and below stands for the default of `OptimizeConfig`.

    Raises:
        UsageError: A value is out of its range or unknown; names the option and the nearest valid value.
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

    def __post_init__(self) -> None:
        given = {name: ends for name, ends in RANGES.items() if name == "strength" or getattr(self, name) is not None}
        check_ranges(self, given)
        check_choice("keep_colors", self.keep_colors, KEEP_COLORS)
        if self.weights is not None:
            try:
                weights = tuple(map(float, self.weights))
            except (TypeError, ValueError):
                raise UsageError(f"{flag('weights')} {self.weights!r}: must be numbers, one for each style") from None
            if not all(0 <= weight <= MAX_WEIGHT for weight in weights) or not sum(weights):
                text = ",".join(map(str, self.weights))
                raise UsageError(
                    f"{flag('weights')} {text}: must be numbers from 0 to {MAX_WEIGHT:g}, one of them above 0"
                )
            object.__setattr__(self, "weights", weights)  # the dataclass is frozen
        self.optimize_config()  # raises where a setting is wrong

    def optimize_config(self) -> OptimizeConfig:
        """Return the settings of "optimize", with its defaults for those that are None."""
        return OptimizeConfig(strength=self.strength, **self._optimize_settings)

    @property
    def _optimize_settings(self) -> dict[str, Any]:
        """The given settings that only "optimize" knows, by name."""
        return {name: value for name in OPTIMIZE_ONLY if (value := getattr(self, name)) is not None}

    def changed(self, changes: dict[str, Any]) -> "StyleOptions":
        """Return these options with other values of some fields.

        Raises:
            UsageError: There is no such option, or see the class.
        """
        names = [field.name for field in fields(self)]
        for name in changes:
            if name not in names:
                raise UsageError(unknown("option", name, names))
        return replace(self, **changes)

    def check_method(self, method: str) -> None:
        """Refuse options that a method would ignore.

        Raises:
            UsageError: Names one of them; or there is no such method.
        """
        check_choice("method", method, METHODS)
        if method != "optimize" and (given := self._optimize_settings):
            raise UsageError(
                f"{flag(next(iter(given)))}: belongs to {flag('method')} optimize, not to {method}; leave it out"
            )
        if method == "color" and self.keep_colors != "no":
            raise UsageError(
                f"{flag('keep_colors')} {self.keep_colors}: {flag('method')} color changes only colors; use one of them"
            )

    def shares(self, styles: int) -> tuple[float, ...]:
        """Return the weights of so many styles, normalized to a sum of 1.

        Raises:
            UsageError: The number of weights is not the number of styles.
        """
        weights = self.weights or (1.0,) * styles
        if len(weights) != styles:
            numbers = f"{len(weights)} number{'s' * (len(weights) != 1)}"
            raise UsageError(
                f"{flag('weights')}: {numbers} for {styles} style{'s' * (styles != 1)}; give one for each style"
            )
        return tuple(weight / sum(weights) for weight in weights)
