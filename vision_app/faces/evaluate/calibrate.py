"""Finds the thresholds of a `Calibration` on some people, and measures how well they hold on other people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.errors import DataError
from vision_app.core.text import amount
from vision_app.faces.align import centroid_of
from vision_app.faces.calibration import FAR, FPIR, Calibration, Gain, Rate
from vision_app.faces.evaluate.metrics import OperatingPoint, Share
from vision_app.faces.evaluate.pairs import Comparisons, FacePhotos, halves, numbers, split_people

LEAST = 10  # false accepts that a measured rate must rest on, and genuine pairs in each part
MAX_FAR = 0.5
GRID = tuple(step / 10**decade for decade in range(1, 20) for step in (5, 2, 1))  # 0.5, 0.2, 0.1, 0.05 and so on
TAIL = 100  # impostor pairs that the tail is fitted to
RESAMPLES = 200
GALLERIES = (10, 100, 1_000)  # people in the simulated galleries
TRIALS = 20  # galleries of each size
PHOTOS = (2, 3, 5, 10)  # of a person, whose means are measured
CHECKED_PHOTOS = (1, 2, 3, 5)  # of each person in the simulated galleries
MEANS = 200  # of each number of photos
TO_FIT, TO_CHECK = "in the half that thresholds are fitted on", "in the half that they are checked on"


@dataclass(frozen=True)
class GalleryCheck:
    """How strangers fare in galleries of people that the thresholds were not fitted to.

    Attributes:
        people: In a gallery.
        photos: Of each of them, whose mean is compared.
        threshold: Similarity that should accept a share `calibration.FPIR` of the strangers.
        false: The share of strangers' photos that get a name.
    """

    people: int
    photos: int
    threshold: float
    false: Share


@dataclass(frozen=True, eq=False)
class CheckedCalibration:
    """A calibration and how well it holds.

    Attributes:
        calibration: The thresholds.
        fitted: The pairs that it comes from.
        held_out: Pairs of other people.
        checks: Of these pairs, by wanted rate.
        galleries: Of these people, by size; empty where they are unknown or too few.
    """

    calibration: Calibration
    fitted: Comparisons
    held_out: Comparisons
    checks: list[OperatingPoint]
    galleries: list[GalleryCheck]


def calibrate(photos: FacePhotos, embeddings: np.ndarray, fars: Sequence[float]) -> CheckedCalibration:
    """Fit thresholds on half of the people and check them on the other half.

    Where people are known, every photo of a half is compared with every other one of it: of a person at most
    `pairs.MAX_PHOTOS_EACH`, or two people with many photos who look alike would decide alone; and of more than
    `pairs.MAX_PHOTOS` photos those of some people. Where people are unknown, half of the listed pairs takes the place
    of half of the people, and the means of a person's photos are not measured.

    Args:
        photos: F of them.
        embeddings: (F, D) unit vectors, NaN where no face was found.
        fars: Wanted false accept rates.

    Raises:
        DataError: There are too few pairs.
    """
    fitted, held_out = halves(photos, embeddings)
    calibration = fit(fitted, fars)
    galleries = []
    if photos.names is not None:
        first, second = split_people(photos.names, photos.files)
        gains = tuple(measure_gains(embeddings[first], photos.names[first]))
        calibration = replace(calibration, gains=gains)
        galleries = check_galleries(calibration, embeddings[second], photos.names[second])
    return CheckedCalibration(calibration, fitted, held_out, check(calibration, held_out, fars), galleries)


def check_enough(photos: FacePhotos, fars: Sequence[float]) -> None:
    """Refuse too few photos for a rate even if a face is found in each; raises DataError as `calibrate` does."""
    fitted, held_out = halves(photos, np.ones((len(photos.files), 1), np.float32))
    check_counts(fitted, fars, TO_FIT)
    check_counts(held_out, fars, TO_CHECK)


def fit(pairs: Comparisons, fars: Sequence[float] = ()) -> Calibration:
    """Fit thresholds for wanted false accept rates, and for all from 0.5 down to the least that can be measured.

    The threshold of a rate is the similarity that this share of the impostor pairs reaches. Its confidence interval
    comes from resampling people with replacement (Efron 1979): pairs that share a person are not independent, and an
    interval that ignored this would be far too narrow.

    Args:
        pairs: Genuine ones and impostors; those without a similarity do not count.
        fars: Wanted rates.

    Raises:
        DataError: There are too few pairs for a wanted rate.
    """
    pairs = pairs.keep(~np.isnan(pairs.similarity))
    check_counts(pairs, fars, TO_FIT)
    falling, units = _falling_impostors(pairs)
    rates = np.array(sorted({*fars, *(rate for rate in GRID if rate * len(falling) >= LEAST)}, reverse=True))
    thresholds = _quantiles(falling, np.ones(len(falling)), rates)
    resampled = [_quantiles(falling, weights, rates) for weights in resamples(units)]
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    columns = thresholds, np.minimum(low, thresholds), np.maximum(high, thresholds)
    rows = zip(rates.tolist(), *(np.round(column, 6).tolist() for column in columns), strict=True)
    beyond = min(TAIL, len(falling) * MAX_FAR)
    tail = int(np.flatnonzero(rates * len(falling) >= beyond)[-1])
    excess = falling[: int(rates[tail] * len(falling))] - thresholds[tail]
    return Calibration(
        tuple(Rate(*row) for row in rows),
        tail_far=float(rates[tail]),
        tail_scale=round(float(excess.mean()), 6),
        impostor_pairs=len(falling),
        genuine_pairs=int(pairs.same.sum()),
        people=len(np.unique(pairs.units)) if pairs.units.shape[1] == 2 else 0,  # 0 where they are unknown
    )


def measure_gains(embeddings: np.ndarray, names: np.ndarray) -> Iterator[Gain]:
    """Measure how much nearer strangers are to the mean of several photos of a person than to each of these photos.

    The gain is the difference between the quantiles of the two similarities, at the rates of `calibration.FPIR` and
    `calibration.FAR`, whichever is larger.

    Args:
        embeddings: (F, D) unit vectors; photos whose vector is NaN are left out.
        names: (F,) who is on each photo.

    Yields:
        By number of photos, as far as `LEAST` people have so many and `LEAST` strangers can be expected at a rate.
    """
    embeddings, people = _known(embeddings, names)
    rng, counts = np.random.default_rng(0), np.bincount(people)
    for photos in PHOTOS:
        enough = np.flatnonzero(counts >= photos)
        if len(enough) < LEAST:
            return
        drawn = rng.permutation(np.resize(enough, max(len(enough), MEANS)))[:MEANS]
        members = _draw(rng, people, drawn, photos)  # (M, photos)
        strangers = people[:, None] != drawn
        to_means = (embeddings @ _means(embeddings[members]).T)[strangers]
        to_each = np.concatenate([(embeddings @ embeddings[column].T)[strangers] for column in members.T])
        rates = [rate for rate in (FPIR, FAR) if rate * len(to_means) >= LEAST]
        if rates:
            differences = [np.quantile(to_means, 1 - rate) - np.quantile(to_each, 1 - rate) for rate in rates]
            yield Gain(photos, round(max(float(max(differences)), 0.0), 6))


def check(calibration: Calibration, pairs: Comparisons, fars: Sequence[float]) -> list[OperatingPoint]:
    """Measure how thresholds hold on other people.

    Their confidence intervals come from resampling people, and are no narrower than Wilson's.

    Args:
        calibration: Fitted to none of these people.
        pairs: Of these people. Genuine ones without a similarity count as rejected, impostors do not count.
        fars: Rates that it knows.

    Raises:
        DataError: There are too few pairs for a rate.
    """
    genuine, compared = pairs.similarity[pairs.same], pairs.keep(~np.isnan(pairs.similarity))
    check_counts(compared, fars, TO_CHECK)
    falling, units = _falling_impostors(compared)
    thresholds = [calibration.threshold(far) for far in fars]
    accepted = np.searchsorted(-falling, np.negative(thresholds), side="right")
    totals = (np.append(0, np.cumsum(weights, dtype=float)) for weights in resamples(units))
    lows, highs = np.percentile([total[accepted] / max(total[-1], 1) for total in totals], (2.5, 97.5), axis=0)
    checks = []
    for far, threshold, count, *limits in zip(fars, thresholds, accepted, lows, highs, strict=True):
        false, true = Share(int(count), len(falling)), Share(int((genuine >= threshold).sum()), len(genuine))
        low, high = min(float(limits[0]), false.interval[0]), max(float(limits[1]), false.interval[1])
        checks.append(OperatingPoint(far, threshold, true, false, (low, high)))
    return checks


def check_galleries(calibration: Calibration, embeddings: np.ndarray, names: np.ndarray) -> list[GalleryCheck]:
    """Compare strangers with galleries drawn from people, of whom at least as many more are left.

    Args:
        calibration: Fitted to none of these people.
        embeddings: (F, D) unit vectors; photos whose vector is NaN are left out.
        names: (F,) who is on each photo.

    Returns:
        A check for each of several sizes, and numbers of photos that enough people have.
    """
    embeddings, people = _known(embeddings, names)
    rng, counts, checks = np.random.default_rng(0), np.bincount(people), []
    for size in (size for size in GALLERIES if 2 * size <= len(counts)):
        for photos in CHECKED_PHOTOS:
            enough = np.flatnonzero(counts >= photos)
            if len(enough) < size:
                break
            threshold, accepted, tried = calibration.identify_threshold(size, FPIR) + calibration.gain(photos), 0, 0
            for _ in range(TRIALS):
                enrolled = rng.permutation(enough)[:size]
                gallery = _means(embeddings[_draw(rng, people, enrolled, photos)])
                best = (embeddings[~np.isin(people, enrolled)] @ gallery.T).max(axis=1)
                accepted, tried = accepted + int((best >= threshold).sum()), tried + len(best)
            checks.append(GalleryCheck(size, photos, threshold, Share(accepted, tried)))
    return checks


def check_counts(pairs: Comparisons, fars: Sequence[float], where: str) -> None:
    """Refuse too few pairs for a rate.

    Raises:
        DataError: The message names how many there are and how many are needed.
    """
    genuine, impostors = int(pairs.same.sum()), int((~pairs.same).sum())
    if genuine < LEAST:
        raise DataError(f"{amount(genuine, 'pair')} of one person {where}: too few; at least {LEAST} are needed")
    least = min(fars, default=MAX_FAR)
    if impostors * least < LEAST * (1 - 1e-9):
        raise DataError(
            f"{amount(impostors, 'pair')} of different people {where}: too few for a false accept rate of {least:g}; "
            f"at least {round(LEAST / least):,} are needed"
        )


def _known(embeddings: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (n, D) embeddings without NaN, and (n,) numbers from 0 of the people whom they show."""
    known = ~np.isnan(embeddings).any(axis=1)
    return embeddings[known], numbers(names[known])


def _draw(rng: np.random.Generator, people: np.ndarray, drawn: np.ndarray, photos: int) -> np.ndarray:
    """Return (M, photos) indices of different photos of each of M people; someone drawn twice gets two draws."""
    return np.stack([rng.permutation(np.flatnonzero(people == person))[:photos] for person in drawn])


def _means(embeddings: np.ndarray) -> np.ndarray:
    """Return the (M, D) unit vectors of (M, n, D), as a gallery's centroids are."""
    return np.stack([centroid_of(samples) for samples in embeddings])


def _falling_impostors(pairs: Comparisons) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the similarities of impostor pairs, falling, and (N, U) their units, numbered from 0."""
    impostors = pairs.keep(~pairs.same)
    order = np.argsort(-impostors.similarity, kind="stable")
    units = numbers(impostors.units).reshape(impostors.units.shape)
    return impostors.similarity[order].astype(float), units[order]


def resamples(units: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (N,) weights of pairs whose units are resampled; a person drawn twice makes no impostor pair."""
    rng, count, columns = np.random.default_rng(0), int(units.max()) + 1, units.T.copy()
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float32)
        yield np.prod([drawn[column] for column in columns], axis=0)


def _quantiles(falling: np.ndarray, weights: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return the similarities that the shares `rates` of the weight reach."""
    total = np.cumsum(weights, dtype=float)
    place = np.searchsorted(total, rates * total[-1] * (1 - 1e-12))
    return np.asarray(falling[np.minimum(place, len(falling) - 1)])
