"""From which similarity on two faces count as one person: thresholds for wanted rates of error.

The thresholds are measured by `calibrate` and lie in a model's `model.json` under "calibration". All of them are
cosine similarities, -1 to 1; nothing here is a probability that two photos show one person.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vision_app.core.errors import ModelError, UsageError

KEY = "calibration"  # of model.json
DOUBT = 10  # similarities that strangers reach at up to so many times the wanted rate are uncertain
FAR, FPIR = 0.001, 0.01  # what is asked for unless somebody says otherwise
UNMEASURED_GAIN = 0.06  # of a mean of very many photos; a third more than was measured on 430 people of public photos


@dataclass(frozen=True)
class Rate:
    """A false accept rate, and from which similarity on pairs of different people are accepted that often.

    Attributes:
        far: share of pairs of different people, 0 to 1.
        threshold: the cosine similarity.
        low, high: its 95 % confidence interval.
    """

    far: float
    threshold: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """How much nearer strangers are to the mean of several photos of a person than to one of these photos.

    Attributes:
        photos: how many, 2 or more.
        similarity: by how much a threshold must rise so that as many strangers reach it, 0 to 2.
    """

    photos: int
    similarity: float


@dataclass(frozen=True)
class Calibration:
    """The thresholds of one model.

    Attributes:
        rates: at least two, falling in `far` and not falling in the similarities. The last one has the smallest rate
            that the data allowed to measure.
        tail_far: one of the rates; below it, `identify_threshold` trusts the tail more than the few pairs there.
        tail_scale: how much higher the threshold must be for a rate that is smaller by a factor of e, below `tail_far`.
        impostor_pairs: pairs of different people that were measured.
        genuine_pairs: pairs of one person that were measured.
        people: whom they show.
        gains: of means of several photos, by their number, rising; empty where that was not measured.
    """

    rates: tuple[Rate, ...]
    tail_far: float
    tail_scale: float
    impostor_pairs: int
    genuine_pairs: int
    people: int
    gains: tuple[Gain, ...] = ()

    @classmethod
    def of(cls, info: Mapping[str, Any], name: str) -> "Calibration":
        """The calibration in the content of a model's `model.json`.

        Args:
            info: the content.
            name: what the user calls the model.

        Raises:
            ModelError: there is none, or it cannot be used.
        """
        if info.get(KEY) is None:
            command = f"vision-app faces calibrate --model {name} --data PEOPLE/ --output DIR --apply"
            raise ModelError(f"model '{name}' has no thresholds yet; `{command}` measures and stores them")
        return cls.from_dict(info[KEY], f"model '{name}'")

    @classmethod
    def from_dict(cls, content: Any, source: str) -> "Calibration":
        """The calibration that `to_dict` gave; keys that it does not know are passed over.

        Args:
            content: JSON values.
            source: what an error names.

        Raises:
            ModelError: the content is not a calibration.
        """
        try:
            rates = tuple(Rate(*(float(row[key]) for key in ("far", "threshold", "low", "high")))
                          for row in content["rates"])  # fmt: skip
            tail = float(content["tail"]["far"]), float(content["tail"]["scale"])
            counts = (int(content[key]) for key in ("impostor_pairs", "genuine_pairs", "people"))
            gains = tuple(Gain(int(row["photos"]), float(row["similarity"])) for row in content.get("gains", ()))
            calibration = cls(rates, *tail, *counts, gains)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ModelError(f"{source}: its calibration cannot be used ({type(error).__name__}: {error})") from error
        if not calibration._is_sound():
            raise ModelError(f"{source}: its calibration cannot be used (rates, thresholds or gains out of order)")
        return calibration

    def to_dict(self) -> dict:
        return {
            "impostor_pairs": self.impostor_pairs,
            "genuine_pairs": self.genuine_pairs,
            "people": self.people,
            "rates": [asdict(rate) for rate in self.rates],
            "tail": {"far": self.tail_far, "scale": self.tail_scale},
            "gains": [asdict(gain) for gain in self.gains],
        }

    @property
    def fars(self) -> tuple[float, ...]:
        """The measured false accept rates, falling. Any rate between the first and the last one can be asked for."""
        return tuple(rate.far for rate in self.rates)

    def threshold(self, far: float = FAR) -> float:
        """From which similarity on pairs of different people are accepted at a rate of `far`, a photo of each.

        Between measured rates, the similarity is linear in the logarithm of the rate.

        Raises:
            UsageError: the rate is not among those that the data allowed to measure.
        """
        return self._at(far, "threshold")

    def band(self, far: float = FAR) -> tuple[float, float]:
        """The similarities between which a verdict is uncertain.

        Returns:
            low: strangers reach it at `DOUBT` times the rate; below it, two faces are different.
            high: the upper end of the threshold's 95 % confidence interval: from it on, two faces are the same, and the
                rate holds although it was measured on so many pairs only.

        Raises:
            UsageError: as `threshold` does.
        """
        high = self._at(far, "high")
        return self._at(min(DOUBT * far, self.rates[0].far), "threshold"), high

    def identify_threshold(self, people: int, fpir: float = FPIR) -> float:
        """From which similarity on a face may be given the name of the nearest of so many enrolled people.

        A stranger is compared with K people and accepted when any of them is near enough, at a rate of
        FPIR = 1 - (1 - FAR)^K if the comparisons are independent, and of less where they are alike. So each of them may
        accept at the rate FAR = 1 - (1 - FPIR)^(1/K) only, and the threshold rises with K. Below `tail_far` it follows
        an exponential tail, P(similarity > u + x) = FAR(u) exp(-x / scale), whose scale is the mean excess of measured
        impostors over u (peaks over threshold; Pickands 1975 with shape 0, which suits or overstates similarities: they
        end at 1).

        Args:
            people: K, 1 or more, with a photo each; where means of several photos are compared, add their `gain`.
            fpir: false positive identification rate: the share of strangers who get a name, 0 to 0.5, both excluded.

        Returns:
            A cosine similarity, at most 1.

        Raises:
            UsageError: a number is out of range.
        """
        far = _rate_of_one(people, fpir)
        if far >= self.tail_far:
            return self._at(far, "threshold")
        start = self._at(self.tail_far, "threshold")
        return min(start + self.tail_scale * math.log(self.tail_far / far), 1.0)

    def gain(self, photos: int) -> float:
        """By how much any threshold must rise where a face is compared with the mean of so many photos of a person.

        The mean is scaled to length 1, which brings it nearer to strangers as well, by much the same similarity at all
        rates of interest. With n photos that do not vary too much, it is nearly proportional to 1 - 1/n: that is how
        gains are found between and beyond measured numbers of photos. Where none were measured, `UNMEASURED_GAIN` takes
        their place, which is meant to be rather too much. Of two means, both gain.

        Args:
            photos: n, 1 or more; one photo gains nothing.
        """
        grown = 1 - 1 / photos
        if not self.gains:
            return UNMEASURED_GAIN * grown
        inverse = [1 / gain.photos for gain in reversed(self.gains)]
        limits = [gain.similarity / (1 - 1 / gain.photos) for gain in reversed(self.gains)]
        return float(np.interp(1 / photos, inverse, limits)) * grown

    def measured_people(self, fpir: float = FPIR) -> int:
        """The largest gallery whose `identify_threshold` was measured; that of larger ones follows the tail."""
        return max(int(math.log1p(-fpir) / math.log1p(-self.tail_far)), 0)

    def _at(self, far: float, name: str) -> float:
        most, least = self.fars[0], self.fars[-1]
        if not least <= far <= most:
            measured = f"{self.impostor_pairs:,} pairs of different people allow rates from {least:g} to {most:g}"
            nearest = least if far < least else most
            raise UsageError(f"false accept rate {far:g}: {measured} to be measured; the nearest is {nearest:g}")
        values = [getattr(rate, name) for rate in self.rates]
        return float(np.interp(-math.log(far), -np.log(self.fars), values))

    def _is_sound(self) -> bool:
        similarities = np.array([(rate.low, rate.threshold, rate.high) for rate in self.rates])
        return (
            len(self.rates) > 1
            and bool(np.isfinite(similarities).all())
            and self.fars[0] < 1
            and self.fars[-1] > 0
            and bool((np.diff(self.fars) < 0).all())
            and bool((np.diff(similarities, axis=0) >= 0).all() and (np.diff(similarities, axis=1) >= 0).all())
            and self.tail_far in self.fars
            and 0 <= self.tail_scale < math.inf
            and all(gain.photos > 1 and 0 <= gain.similarity <= 2 for gain in self.gains)
            and bool((np.diff([gain.photos for gain in self.gains]) > 0).all())
        )


def _rate_of_one(people: int, fpir: float) -> float:
    """The false accept rate of each of so many independent comparisons that together accept at a rate of `fpir`."""
    if people < 1:
        raise UsageError(f"a gallery of {people} people: nobody to compare with; enroll somebody first")
    if not 0 < fpir < 0.5:
        raise UsageError(f"false positive identification rate {fpir:g}: must be between 0 and 0.5")
    return -math.expm1(math.log1p(-fpir) / people)
