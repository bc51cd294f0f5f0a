"""Underfitting, overfitting, both or neither: what a run's losses say, and what to try next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TRAIN, VALIDATION = "loss", "validation_loss"  # columns of metrics.csv
PRECISION = " AP"  # how those of average precision end

GAP = 1.25  # validation over training loss; augmentation makes training the harder part, so even 1 is much
RISEN = 1.05  # loss at the end over its lowest
FALLEN = 0.9  # average precision at the end over its highest
LEARNED = 0.7  # training loss at the end over that of the first epoch
DIVERGED = 4.0  # loss at the end over training loss of the first epoch
ENOUGH = 3  # epochs and measurements, at least, that show a trend
SETTLED = 0.95  # loss at the end over that before; below this it is still falling

VERDICTS = {
    (False, False): "neither",
    (True, False): "underfitting",
    (False, True): "overfitting",
    (True, True): "both",
}  # by signs of underfitting and of overfitting
TITLES = {
    "neither": "neither underfitting nor overfitting",
    "both": "underfitting and overfitting",
    "diverged": "a learning rate that is too high",
    "unknown": "too short to judge",
}
LONGER, GENTLER = "more --epochs", "a smaller --learning-rate"
STRONGER = "a larger --learning-rate or network"
SEARCHED = "another --learning-rate (--find-lr suggests one)"
REGULARIZED = "more photos, more augmentation or a larger --weight-decay"
MORE = "more photos, a larger --size or a larger network if that is not enough yet"

Rows = Sequence[Mapping[str, Any]]
Signs = list[tuple[str, str]]  # (reason, what to try) for each


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run.

    Attributes:
        verdict: "underfitting", "overfitting", "both", "neither", "diverged", or "unknown" after too few epochs.
        sentence: The verdict, the numbers behind it, and what to try.
    """

    verdict: str
    sentence: str


@dataclass(frozen=True)
class _Curve:
    """A column over the epochs that have a value, as running means over a fifth of them."""

    epochs: np.ndarray
    means: np.ndarray  # (E,) each over the window that ends with this epoch
    window: int

    @classmethod
    def of(cls, rows: Rows, name: str) -> "_Curve | None":
        epochs, values = column(rows, name)
        if not values:
            return None
        window = max(1, len(values) // 5)
        means = np.convolve(values, np.full(window, 1 / window), mode="valid")
        return cls(np.array(epochs[window - 1 :]), means.clip(min=1e-9), window)

    @property
    def end(self) -> float:
        return float(self.means[-1])

    @property
    def rise(self) -> float:
        """Loss at the end over its lowest, 1 or more."""
        return self.end / float(self.means.min())

    @property
    def fall(self) -> float:
        """Loss at the end over that of the window before; 1 where there is none."""
        return self.end / float(self.means[-1 - self.window]) if len(self.means) > self.window else 1.0

    def fell_since(self, epoch: int) -> bool:
        """Return whether the loss fell from an epoch to the end."""
        return self.end < float(self.means[max(0, int(np.searchsorted(self.epochs, epoch, side="right")) - 1)])


@dataclass(frozen=True)
class _Training:
    """Training loss, which can be compared only among epochs of the same augmentation.

    Attributes:
        trend: Over the epochs with the augmentation of most; all trends are read from it.
        last: Over the epochs with the augmentation of the last one.
        plain_from: The first epoch in which the two differ, if there is one.
    """

    trend: _Curve
    last: _Curve
    plain_from: float

    @classmethod
    def of(cls, rows: Rows, plain_from: float) -> "_Training | None":
        early, late = ([row for row in rows if (int(row["epoch"]) >= plain_from) is plain] for plain in (False, True))
        curves = [curve for half in (early, late) if (curve := _Curve.of(half, TRAIN))]
        return cls(curves[0], curves[-1], plain_from) if curves else None

    def fell_since(self, epoch: int) -> bool:
        """Return whether it fell from an epoch to the last of the same augmentation."""
        return (self.last if epoch + 1 >= self.plain_from else self.trend).fell_since(epoch)


def column(rows: Rows, name: str) -> tuple[list[int], list[float]]:
    """Return the epochs that have a value in a column of metrics.csv, and these values."""
    filled = [row for row in rows if row.get(name) not in (None, "")]
    return [int(row["epoch"]) for row in filled], [float(row[name]) for row in filled]


def diagnose(rows: Rows, *, pretrained: bool = False, plain_from: float = math.inf) -> Diagnosis:
    """Judge a run by its training and validation loss.

    All curves are smoothed by running means over a fifth of the epochs that have a value. A run with less than three
    epochs, or one or two validations, is too short to judge. It diverged, if training or validation loss ends at more
    than four times the training loss of the first epoch. Otherwise it overfits, if at its end

    - validation loss is more than 25 % above training loss: what was memorized does not generalize; or
    - validation loss is more than 5 % above its lowest, or the first average precision (where there is one) more than
      10 % below its highest, and training loss kept falling meanwhile.

    It underfits, if at its end

    - training loss is more than 70 % of the first epoch's: little was learned (not asked of a network that started
      from trained weights); or
    - training loss is more than 5 % above its lowest: what was learned is lost again; or
    - validation loss, or training loss where there is no other, is still falling by more than 5 % a fifth.

    The thresholds are rules of thumb: a loss has no scale of its own, so it is compared with other losses of the run.

    Args:
        rows: Of metrics.csv, in order: `epoch`, `loss` and, in the epochs with a validation, `validation_loss` and
            columns that end with " AP", the decisive one first.
        pretrained: Whether training began from trained weights.
        plain_from: The first epoch in which images are augmented less. Training loss jumps there, up or down, so how it
            moves is judged by the epochs before, or by all where there are none before.

    Raises:
        ValueError: No row has a loss.
    """
    train, validation = _Training.of(rows, plain_from), _Curve.of(rows, VALIDATION)
    if train is None:
        raise ValueError("a run is judged by its losses, and this one has none")
    losses, measured = column(rows, TRAIN)[1], column(rows, VALIDATION)[1]
    first = losses[0]
    for name, loss in (("training", train.last.end), ("validation", validation.end if validation else 0.0)):
        if loss > DIVERGED * first:
            far = f"{name} loss {loss:.3g} is far above the {first:.3g} of the first epoch's training"
            return Diagnosis("diverged", f"{TITLES['diverged']}: {far}; try {GENTLER}")
    if len(losses) < ENOUGH or 0 < len(measured) < ENOUGH:
        few = f"{len(losses)} epochs" if len(losses) < ENOUGH else f"{len(measured)} validations"
        advice = LONGER if len(losses) < ENOUGH else f"{LONGER} or a smaller --validate-every"
        few = few.removesuffix("s") if few.startswith("1 ") else few
        return Diagnosis("unknown", f"{TITLES['unknown']}: {few} alone; try {advice}")
    under = _underfitting(train.trend, validation, first, pretrained)
    over = _overfitting(train, validation) + _forgetting(train, rows)
    signs = under + over or [(_steady(train.last, validation), MORE)]
    reasons, tries = zip(*signs, strict=True)
    verdict = VERDICTS[bool(under), bool(over)]
    return Diagnosis(
        verdict, f"{TITLES.get(verdict, verdict)}: {' and '.join(reasons)}; try {', '.join(dict.fromkeys(tries))}"
    )


def _overfitting(train: _Training, validation: _Curve | None) -> Signs:
    if validation is None:
        return []
    found = []
    if validation.end > GAP * (end := train.last.end):
        above = _percent(validation.end / end)
        found.append((f"validation loss {validation.end:.3g} is {above} above training loss {end:.3g}", REGULARIZED))
    lowest = int(validation.epochs[validation.means.argmin()])
    if validation.rise > RISEN and train.fell_since(lowest):
        rose = f"validation loss rose by {_percent(validation.rise)} after epoch {lowest} while training loss fell"
        found.append((rose, REGULARIZED))
    return found


def _forgetting(train: _Training, rows: Rows) -> Signs:
    """Return the sign of overfitting that a fall of average precision is."""
    name = next((name for row in rows for name in row if name.endswith(PRECISION)), "")
    precision = _Curve.of(rows, name)
    if precision is None:
        return []
    highest, epoch = float(precision.means.max()), int(precision.epochs[precision.means.argmax()])
    if precision.end > FALLEN * highest or not train.fell_since(epoch):
        return []
    fell = f"{name} fell from {highest:.3g} to {precision.end:.3g} after epoch {epoch} while training loss fell"
    return [(fell, REGULARIZED)]


def _underfitting(train: _Curve, validation: _Curve | None, first: float, pretrained: bool) -> Signs:
    """Return its signs; `first` is the training loss of the first epoch."""
    found: Signs = []
    if train.rise > RISEN:
        found.append((f"training loss rose by {_percent(train.rise)} above its lowest", GENTLER))
    elif not pretrained and train.end >= first:
        found.append((f"training loss did not come down, from {first:.3g} to {train.end:.3g}", f"{LONGER}, {SEARCHED}"))
    elif not pretrained and train.end > LEARNED * first:
        found.append((f"training loss came down from {first:.3g} to {train.end:.3g} only", f"{LONGER}, {STRONGER}"))
    judged, name = (train, "training") if validation is None else (validation, "validation")
    if judged.fall < SETTLED:
        found.append((f"{name} loss was still falling, by {_percent(judged.fall)} in the last fifth", LONGER))
    return found


def _steady(train: _Curve, validation: _Curve | None) -> str:
    if validation is None:
        return f"training loss {train.end:.3g} has settled (there is no validation loss to compare it with)"
    return f"training loss {train.end:.3g} and validation loss {validation.end:.3g} have settled side by side"


def _percent(ratio: float) -> str:
    return f"{abs(ratio - 1):.0%}"
