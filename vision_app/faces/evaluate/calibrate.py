"""Finds the thresholds of a `Calibration` on some people, and measures on other people what they are worth."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vision_app.core.errors import DataError
from vision_app.faces.align import centroid_of
from vision_app.faces.calibration import FAR, FPIR, Calibration, Gain, Rate
from vision_app.faces.evaluate.metrics import Share
from vision_app.faces.evaluate.pairs import (
    Comparisons,
    Photos,
    compare_all,
    compare_listed,
    few_of_each,
    numbers,
    second_half,
    some_people,
)

LEAST = 10  # false accepts that a measured rate must rest on, and genuine pairs in each part
MOST_FAR = 0.5
MOST_OF_ONE = 10  # photos of a person
TAIL = 100  # impostor pairs that the tail is fitted to
RESAMPLES = 200
GALLERIES = (10, 100, 1_000)  # people in the galleries that are tried
TRIALS = 20  # galleries of each size
PHOTOS = (2, 3, 5, 10)  # of a person, whose means are measured
CHECKED_PHOTOS = (1, 2, 3, 5)  # of each person in the galleries that are tried
MEANS = 200  # of each number of photos
TO_FIT, TO_CHECK = "in the half that thresholds are found on", "in the half that they are checked on"


@dataclass(frozen=True)
class Check:
    """What a threshold does to people whom it was not fitted to.

    Attributes:
        far: the false accept rate that was asked for.
        threshold: similarity.
        false: the share of impostor pairs that are accepted.
        low, high: the 95 % confidence interval of that share, from drawing people again, no narrower than Wilson's.
        true: the share of genuine pairs that are accepted.
    """

    far: float
    threshold: float
    false: Share
    low: float
    high: float
    true: Share


@dataclass(frozen=True)
class GalleryCheck:
    """What strangers do before galleries of people whom the thresholds were not fitted to.

    Attributes:
        people: in a gallery.
        photos: of each of them, by whose mean they are known.
        threshold: similarity that should let through a share `calibration.FPIR` of the strangers.
        false: the share of strangers' photos that are given a name.
    """

    people: int
    photos: int
    threshold: float
    false: Share


@dataclass(frozen=True, eq=False)
class Outcome:
    """A calibration and what it is worth.

    Attributes:
        calibration: the thresholds.
        fitted: the pairs that it comes from.
        held_out: pairs of other people.
        checks: of these pairs, by wanted rate.
        galleries: of these people, by size; empty where nobody says who they are or they are too few.
    """

    calibration: Calibration
    fitted: Comparisons
    held_out: Comparisons
    checks: list[Check]
    galleries: list[GalleryCheck]


def calibrate(photos: Photos, embeddings: np.ndarray, fars: Sequence[float]) -> Outcome:
    """Finds thresholds on half of the people and checks them on the other half.

    Where people are known, every photo of a half is compared with every other one of it: of a person `MOST_OF_ONE` at
    most, or two people with many photos who look alike would decide alone; and of more than `pairs.MOST` photos those
    of some people. Where people are not known, half of the listed pairs takes the place of half of the people, and the
    means of a person's photos are not measured.

    Args:
        photos: F of them.
        embeddings: (F, D) unit vectors, NaN where no face was found.
        fars: wanted false accept rates.

    Raises:
        DataError: there are too few pairs.
    """
    fitted, held_out = halves(photos, embeddings)
    calibration = fit(fitted, fars)
    galleries = []
    if photos.names is not None:
        first, second = _parts(photos)
        gains = tuple(measure_gains(embeddings[first], photos.names[first]))
        calibration = replace(calibration, gains=gains)
        galleries = check_galleries(calibration, embeddings[second], photos.names[second])
    return Outcome(calibration, fitted, held_out, check(calibration, held_out, fars), galleries)


def halves(photos: Photos, embeddings: np.ndarray) -> tuple[Comparisons, Comparisons]:
    """The pairs to fit to and those to check on; arguments are those of `calibrate`."""
    if photos.names is None:
        pairs = compare_listed(embeddings, photos)
        listed, files = photos.listed, photos.files
        second = second_half([f"{files[a]}\n{files[b]}" for a, b in zip(listed.first, listed.second, strict=True)])
        return pairs.keep(~second), pairs.keep(second)
    first, second = _parts(photos)
    return _all_pairs(photos, embeddings, first), _all_pairs(photos, embeddings, second)


def check_enough(photos: Photos, fars: Sequence[float]) -> None:
    """Refuses photos that are too few for a rate even if a face is found in each; raises DataError as `calibrate`."""
    fitted, held_out = halves(photos, np.ones((len(photos.files), 1), np.float32))
    check_counts(fitted, fars, TO_FIT)
    check_counts(held_out, fars, TO_CHECK)


def fit(pairs: Comparisons, fars: Sequence[float] = ()) -> Calibration:
    """Finds thresholds for wanted false accept rates, and for all from 0.5 down to the least that can be measured.

    The threshold of a rate is the similarity that this share of the impostor pairs reaches. Its confidence interval
    comes from drawing as many people as there are, with replacement, again and again (Efron 1979): pairs that share a
    person are not independent, and an interval that took them for that would be far too narrow.

    Args:
        pairs: genuine ones and impostors; those without a similarity do not count.
        fars: wanted rates.

    Raises:
        DataError: there are too few pairs for a wanted rate.
    """
    pairs = pairs.keep(~np.isnan(pairs.similarity))
    check_counts(pairs, fars, TO_FIT)
    falling, units = _falling_impostors(pairs)
    rates = np.array(sorted({*fars, *_grid(len(falling))}, reverse=True))
    whole = np.ones(len(falling))
    thresholds = _quantiles(falling, whole, rates)
    resampled = [_quantiles(falling, weights, rates) for weights in _resamples(units)]
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    columns = thresholds, np.minimum(low, thresholds), np.maximum(high, thresholds)
    rows = zip(rates.tolist(), *(np.round(column, 6).tolist() for column in columns), strict=True)
    beyond = min(TAIL, len(falling) * MOST_FAR)
    tail = int(np.flatnonzero(rates * len(falling) >= beyond)[-1])
    excess = falling[: int(rates[tail] * len(falling))] - thresholds[tail]
    return Calibration(
        tuple(Rate(*row) for row in rows),
        tail_far=float(rates[tail]),
        tail_scale=round(float(excess.mean()), 6),
        impostor_pairs=len(falling),
        genuine_pairs=int(pairs.same.sum()),
        people=_people(pairs),
    )


def measure_gains(embeddings: np.ndarray, names: np.ndarray) -> Iterator[Gain]:
    """Measures how much nearer strangers are to the mean of several photos of a person than to each of these photos.

    The gain is what the quantiles of the two similarities differ by, at the rates of `calibration.FPIR` and
    `calibration.FAR`, whichever is more.

    Args:
        embeddings: (F, D) unit vectors, NaN where a photo has none: it is left out.
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


def check(calibration: Calibration, pairs: Comparisons, fars: Sequence[float]) -> list[Check]:
    """Measures what thresholds do to other people.

    Args:
        calibration: fitted to none of these people.
        pairs: of these people. Genuine ones without a similarity count as rejected, impostors do not count.
        fars: rates that it knows.

    Raises:
        DataError: there are too few pairs for a rate.
    """
    genuine, compared = pairs.similarity[pairs.same], pairs.keep(~np.isnan(pairs.similarity))
    check_counts(compared, fars, TO_CHECK)
    falling, units = _falling_impostors(compared)
    thresholds = [calibration.threshold(far) for far in fars]
    accepted = np.searchsorted(-falling, np.negative(thresholds), side="right")
    resampled = [_rates(weights, accepted) for weights in _resamples(units)]
    lows, highs = np.percentile(resampled, (2.5, 97.5), axis=0)
    checks = []
    for far, threshold, count, low, high in zip(fars, thresholds, accepted, lows, highs, strict=True):
        false = Share(int(count), len(falling))
        narrowest = false.interval
        true = Share(int((genuine >= threshold).sum()), len(genuine))
        checks.append(Check(far, threshold, false, min(float(low), narrowest[0]), max(float(high), narrowest[1]), true))
    return checks


def check_galleries(calibration: Calibration, embeddings: np.ndarray, names: np.ndarray) -> list[GalleryCheck]:
    """Lets strangers look for their names in galleries drawn from people with at least as many more.

    Args:
        calibration: fitted to none of these people.
        embeddings: (F, D) unit vectors, NaN where a photo has none: it is left out.
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
    """Refuses pairs that are too few for a rate.

    Raises:
        DataError: the message names how many there are and how many are needed.
    """
    genuine, impostors = int(pairs.same.sum()), int((~pairs.same).sum())
    if genuine < LEAST:
        raise DataError(f"{genuine:,} pairs of one person are too few {where}; at least {LEAST} are needed")
    least = min(fars, default=MOST_FAR)
    if impostors * least < LEAST * (1 - 1e-9):
        raise DataError(
            f"{impostors:,} pairs of different people are too few {where} for a false accept rate of {least:g}; "
            f"at least {round(LEAST / least):,} are needed"
        )


def _parts(photos: Photos) -> tuple[np.ndarray, np.ndarray]:
    """Two masks (F,) that share nobody: the photos to fit to and those to check on."""
    kept, second = few_of_each(photos.names, photos.files, MOST_OF_ONE), second_half(photos.names)
    parts = kept & ~second, kept & second
    for part in parts:
        part[part] = some_people(photos.names[part])
    return parts


def _known(embeddings: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The embeddings that are there, and (n,) numbers from 0 of the people whom they show."""
    known = ~np.isnan(embeddings).any(axis=1)
    return embeddings[known], numbers(names[known])


def _draw(rng: np.random.Generator, people: np.ndarray, drawn: np.ndarray, photos: int) -> np.ndarray:
    """(M, photos) places of different photos of each of M people; a person drawn twice gets a draw each time."""
    return np.stack([rng.permutation(np.flatnonzero(people == person))[:photos] for person in drawn])


def _means(embeddings: np.ndarray) -> np.ndarray:
    """(M, n, D) -> (M, D) unit vectors, as a gallery's centroids are."""
    return np.stack([centroid_of(samples) for samples in embeddings])


def _all_pairs(photos: Photos, embeddings: np.ndarray, part: np.ndarray) -> Comparisons:
    return compare_all(embeddings[part], photos.names[part], photos.groups[part])


def _people(pairs: Comparisons) -> int:
    """How many people pairs show, 0 where nobody says."""
    return len(np.unique(pairs.units)) if pairs.units.shape[1] == 2 else 0


def _falling_impostors(pairs: Comparisons) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the similarities of impostor pairs, falling, and (N, U) their units, numbered from 0."""
    impostors = pairs.keep(~pairs.same)
    order = np.argsort(-impostors.similarity, kind="stable")
    units = numbers(impostors.units).reshape(impostors.units.shape)
    return impostors.similarity[order].astype(float), units[order]


def _grid(impostors: int) -> Iterator[float]:
    """0.5, 0.2, 0.1, 0.05 and so on, as far as so many pairs allow."""
    for decade in range(1, 20):
        for step in (5, 2, 1):
            rate = step / 10**decade
            if rate * impostors < LEAST:
                return
            yield rate


def _resamples(units: np.ndarray) -> Iterator[np.ndarray]:
    """(N,) how often each pair occurs when its units are drawn again; a person drawn twice makes no impostor pair."""
    rng, count, columns = np.random.default_rng(0), int(units.max()) + 1, units.T.copy()
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float32)
        yield math.prod(drawn[column] for column in columns)


def _quantiles(falling: np.ndarray, weights: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The similarity that a share `rates` of the weight reaches."""
    total = np.cumsum(weights, dtype=float)
    place = np.searchsorted(total, rates * total[-1] * (1 - 1e-12))
    return falling[np.minimum(place, len(falling) - 1)]


def _rates(weights: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """The share of the weight that lies in the first `accepted` pairs."""
    total = np.concatenate([[0], np.cumsum(weights, dtype=float)])
    return total[accepted] / max(total[-1], 1)
