"""The similarity thresholds from which two faces count as one person, for wanted error rates.

The thresholds are measured by `calibrate` and stored in a model's `model.json` under "calibration". All of them are
cosine similarities, -1 to 1; none of them is a probability.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vision_app.core.errors import ModelError, UsageError
from vision_app.core.text import amount

KEY = "calibration"  # of model.json
DOUBT = 10  # similarities that strangers reach at up to this many times the wanted rate are uncertain
FAR, FPIR = 0.001, 0.01  # defaults
UNMEASURED_GAIN = 0.06  # of a mean of very many photos; a third more than measured on 430 people of public photos


@dataclass(frozen=True)
class Rate:
    """A false accept rate, and the threshold at which pairs of different people are accepted that often.

    Attributes:
        far: Share of pairs of different people, 0 to 1.
        threshold: The cosine similarity.
        low, high: Its 95 % confidence interval.
    """

    far: float
    threshold: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """How much closer strangers are to the mean of several photos of a person than to one of these photos.

    Attributes:
        photos: Their number, 2 or more.
        similarity: By how much a threshold must rise so that as many strangers reach it, 0 to 2.
    """

    photos: int
    similarity: float


@dataclass(frozen=True)
class Calibration:
    """The thresholds of one model.

    Attributes:
        rates: At least two, falling in `far` and not falling in the similarities. The last one has the smallest rate
            that the data allowed to measure.
        tail_far: One of the rates; below it, `identify_threshold` trusts the tail more than the few pairs there.
        tail_scale: How much higher the threshold must be for a rate that is smaller by a factor of e, below `tail_far`.
        impostor_pairs: Number of pairs of different people.
        genuine_pairs: Number of pairs of one person.
        people: Number of people.
        gains: Of means of several photos, by their number, rising; empty where they were not measured.
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
        """Return the calibration in the content of the `model.json` of the model that the user calls `name`.

        Raises:
            ModelError: There is none, or it cannot be used.
        """
        if info.get(KEY) is None:
            command = f"vision-app faces calibrate --model {name} --data PEOPLE/ --output DIR --apply"
            raise ModelError(f"model '{name}' is not calibrated; `{command}` measures and stores thresholds")
        return cls.from_dict(info[KEY], f"model '{name}'")

    @classmethod
    def from_dict(cls, content: Any, source: str) -> "Calibration":
        """Return the calibration that `to_dict` gave; unknown keys are ignored, and errors name the source.

        Raises:
            ModelError: The content is not a calibration.
        """
        try:
            rates = tuple(Rate(*(float(row[key]) for key in ("far", "threshold", "low", "high")))
                          for row in content["rates"])  # fmt: skip
            tail = float(content["tail"]["far"]), float(content["tail"]["scale"])
            impostors, genuine, people = (int(content[key]) for key in ("impostor_pairs", "genuine_pairs", "people"))
            gains = tuple(Gain(int(row["photos"]), float(row["similarity"])) for row in content.get("gains", ()))
            calibration = cls(rates, *tail, impostors, genuine, people, gains)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ModelError(f"{source}: its calibration cannot be used ({type(error).__name__}: {error})") from error
        if not calibration._is_sound():
            raise ModelError(f"{source}: its calibration cannot be used (rates, thresholds or gains out of order)")
        return calibration

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
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
        """Return the similarity from which pairs of single photos of different people are accepted at the rate `far`.

        Between measured rates, it is linear in the logarithm of the rate.

        Raises:
            UsageError: The rate is beyond those that the data allowed to measure.
        """
        return self._at(far, "threshold")

    def band(self, far: float = FAR) -> tuple[float, float]:
        """Return the similarities between which a verdict is uncertain.

        Returns:
            Below the first one, which strangers reach at `DOUBT` times the rate, two faces are different. From the
            second one on, the upper end of the threshold's 95 % confidence interval, they are the same.

        Raises:
            UsageError: See `threshold`.
        """
        high = self._at(far, "high")
        return self._at(min(DOUBT * far, self.rates[0].far), "threshold"), high

    def identify_threshold(self, people: int, fpir: float = FPIR) -> float:
        """Return the similarity from which a face may get the name of the nearest of so many enrolled people.

        A stranger is compared with K people and accepted when any of them is close enough, at a rate of
        FPIR = 1 - (1 - FAR)^K if the comparisons are independent, and of less where they are alike. So each of them may
        accept at the rate FAR = 1 - (1 - FPIR)^(1/K) only, and the threshold rises with K. Below `tail_far` it follows
        an exponential tail, P(similarity > u + x) = FAR(u) exp(-x / scale), whose scale is the mean excess of measured
        impostors over u (peaks over threshold; Pickands 1975 with shape 0, which suits or overstates similarities: they
        end at 1).

        Args:
            people: K, 1 or more, with a photo each; where means of several photos are compared, add their `gain`.
            fpir: False positive identification rate: the share of strangers who get a name, 0 to 0.5, both excluded.

        Returns:
            A cosine similarity, at most 1.

        Raises:
            UsageError: A number is out of range.
        """
        if people < 1:
            raise UsageError(f"a gallery of {people} people: there is nobody to compare with; enroll people first")
        if not 0 < fpir < 0.5:
            raise UsageError(f"false positive identification rate {fpir:g}: must be between 0 and 0.5")
        far = -math.expm1(math.log1p(-fpir) / people)
        if far >= self.tail_far:
            return self._at(far, "threshold")
        start = self._at(self.tail_far, "threshold")
        return min(start + self.tail_scale * math.log(self.tail_far / far), 1.0)

    def gain(self, photos: int) -> float:
        """Return by how much a threshold must rise where a face is compared with the mean of `photos` of a person.

        The mean is scaled to length 1, which brings it closer to strangers as well, by much the same similarity at all
        rates of interest. With n photos that do not vary too much, it is nearly proportional to 1 - 1/n, by which gains
        are interpolated and extrapolated. Where none were measured, `UNMEASURED_GAIN`, rather too much, takes their
        place. Of two means, both gain.
        """
        grown = 1 - 1 / photos
        if not self.gains:
            return UNMEASURED_GAIN * grown
        inverse = [1 / gain.photos for gain in reversed(self.gains)]
        limits = [gain.similarity / (1 - 1 / gain.photos) for gain in reversed(self.gains)]
        return float(np.interp(1 / photos, inverse, limits)) * grown

    def measured_people(self, fpir: float = FPIR) -> int:
        """Return the largest gallery whose `identify_threshold` was measured; that of larger ones follows the tail."""
        return max(int(math.log1p(-fpir) / math.log1p(-self.tail_far)), 0)

    def _at(self, far: float, name: str) -> float:
        most, least = self.fars[0], self.fars[-1]
        if not least <= far <= most:
            measured = (
                f"{amount(self.impostor_pairs, 'pair')} of different people allow rates from {least:g} to {most:g}"
            )
            nearest = least if far < least else most
            raise UsageError(f"false accept rate {far:g}: {measured} to be measured; the nearest is {nearest:g}")
        values = [getattr(rate, name) for rate in self.rates]
        return float(np.interp(-math.log(far), -np.log(self.fars), values))

    def _is_sound(self) -> bool:
        similarities = np.array([(rate.low, rate.threshold, rate.high) for rate in self.rates])
        photos = [1, *(gain.photos for gain in self.gains)]
        return bool(
            len(self.rates) > 1
            and np.isfinite(similarities).all()
            and (np.diff([1, *self.fars, 0]) < 0).all()
            and (np.diff(similarities, axis=0) >= 0).all()
            and (np.diff(similarities, axis=1) >= 0).all()
            and self.tail_far in self.fars
            and 0 <= self.tail_scale < math.inf
            and (np.diff(photos) > 0).all()
            and all(0 <= gain.similarity <= 2 for gain in self.gains)
        )
