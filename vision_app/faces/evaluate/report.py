"""Evaluations and calibrations of faces as JSON, as CSV tables, as plots and as text."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_app.batch.sinks import write_csv, write_text
from vision_app.core.text import amount
from vision_app.faces.calibration import FPIR
from vision_app.faces.evaluate.calibrate import GALLERIES, CheckedCalibration
from vision_app.faces.evaluate.evaluation import FaceEvaluation
from vision_app.faces.evaluate.metrics import FARS, MIN_FALSE_ACCEPTS, Roc, Share, auc, eer, roc
from vision_app.faces.evaluate.plots import (
    neighbor_map,
    plot_det,
    plot_map,
    plot_roc,
    plot_similarities,
    principal_plane,
    sampled,
    write_figures,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10  # photos without a face that the summary names
FEWEST, MOST = 3, 2_000  # faces of a map; of more, the first ones, since t-SNE takes its time
RATES = ("far", "threshold", "low", "high")


def evaluation_dict(evaluation: FaceEvaluation) -> dict[str, Any]:
    """Return the figures as JSON values, None where there is nothing to measure."""
    photos, accuracy = evaluation.photos, evaluation.accuracy
    content: dict[str, Any] = {
        "photos": len(photos.files),
        "people": None if photos.names is None else len(np.unique(photos.names)),
        "without_face": evaluation.faceless,
        "listed": None,
        "all": None,
    }
    for name, result in evaluation.results.items():
        content[name] = {
            "genuine": result.curve.genuine,
            "impostor": result.curve.impostor,
            "auc": plain(auc(result.curve)),
            "eer": plain(eer(result.curve)),
            "tar": [{"far": one.far, "threshold": plain(one.threshold), **share(one.true)} for one in result.points],
        }
    if accuracy:
        content["listed"]["accuracy"] = {
            "mean": plain(accuracy.mean),
            "standard_error": plain(accuracy.standard_error),
            "folds": plain(accuracy.accuracies),
            "thresholds": plain(accuracy.thresholds),
            "folds_given": photos.pairs.folds_given,
        }
    content["groups"] = [
        {
            "group": group.group,
            "far": group.far,
            "threshold": plain(group.threshold),
            "tar": share(group.true),
            "measured_far": share(group.false),
        }
        for group in evaluation.groups
    ]
    return content


def calibration_dict(checked: CheckedCalibration) -> dict[str, Any]:
    """Return what goes into model.json: the calibration, and under "held_out" how well it holds on other people."""
    held_out = {
        "genuine_pairs": int(checked.held_out.same.sum()),
        "impostor_pairs": int((~checked.held_out.same).sum()),
        "verify": [
            {
                "far": check.far,
                "threshold": plain(check.threshold),
                "measured_far": share(check.false, check.interval),
                "tar": share(check.true),
            }
            for check in checked.checks
        ],
        "identify": [
            {
                "people": gallery.people,
                "photos": gallery.photos,
                "fpir": FPIR,
                "threshold": plain(gallery.threshold),
                "measured_fpir": share(gallery.false),
            }
            for gallery in checked.galleries
        ],
    }
    return checked.calibration.to_dict() | {"held_out": held_out}


def write_evaluation(evaluation: FaceEvaluation, folder: Path, about: Mapping[str, Any]) -> None:
    """Write `evaluation.json`, which starts with `about`, tables as CSV files and plots as PNG files.

    Raises:
        OutputError: A file could not be written.
    """
    curves = {f"{name} pairs": result.curve for name, result in evaluation.results.items()}
    _write_curves(folder, curves)
    if evaluation.listed:
        listed, files = evaluation.photos.pairs, np.array(evaluation.photos.files)
        similarity = evaluation.listed.pairs.similarity
        columns = files[listed.first], files[listed.second], listed.same.astype(int), similarity
        pairs = zip(*map(plain, columns), strict=True)
        write_csv(folder / "pairs.csv", ("file_a", "file_b", "same", "similarity"), pairs)
    if evaluation.groups:
        names = ("group", "far", "threshold", "genuine", "tar", "impostor", "measured_far")
        rows = (
            (one.group, one.far, plain(one.threshold), one.true.total, plain(one.true.rate), one.false.total,
             plain(one.false.rate))
            for one in evaluation.groups
        )  # fmt: skip
        write_csv(folder / "groups.csv", names, rows)
    _write_json(folder / "evaluation.json", {**about, **evaluation_dict(evaluation)})
    drawn = {name: curve for name, curve in curves.items() if curve.is_complete}
    figures = {"roc": plot_roc(drawn), "det": plot_det(drawn)} if drawn else {}
    *_, result = evaluation.results.values()  # all pairs, where the people are known
    thresholds = {f"FAR {point.far:g}": point.threshold for point in result.points}
    figures["similarities"] = plot_similarities(result.pairs, thresholds)
    write_figures(figures | _maps(evaluation), folder)


def write_calibration(checked: CheckedCalibration, folder: Path, about: Mapping[str, Any]) -> None:
    """Write `calibration.json`, which starts with `about`, two tables as CSV files and three plots as PNG files.

    Raises:
        OutputError: A file could not be written.
    """
    named = {"people it was fitted to": checked.fitted, "other people": checked.held_out}
    curves = {name: roc(pairs.similarity, pairs.same) for name, pairs in named.items()}
    _write_curves(folder, curves)
    rows = ([getattr(rate, name) for name in RATES] for rate in checked.calibration.rates)
    write_csv(folder / "thresholds.csv", RATES, rows)
    _write_json(folder / "calibration.json", {**about, **calibration_dict(checked)})
    thresholds = {f"FAR {check.far:g}": check.threshold for check in checked.checks}
    similarities = plot_similarities(checked.held_out, thresholds)
    write_figures({"roc": plot_roc(curves), "det": plot_det(curves), "similarities": similarities}, folder)


def evaluation_summary(evaluation: FaceEvaluation) -> Iterator[str]:
    """Yield the most important figures in lines of text."""
    photos, faceless, accuracy = evaluation.photos, evaluation.faceless, evaluation.accuracy
    people = "" if photos.names is None else f" of {amount(len(np.unique(photos.names)), 'person', 'people')}"
    counts = f"{amount(len(photos.files), 'photo')}{people}"
    yield f"{counts}, no face found in {len(faceless):,}: their pairs count as errors"
    for file in faceless[:SHOWN]:
        yield f"  no face: {file}"
    if len(faceless) > SHOWN:
        yield f"  and {len(faceless) - SHOWN:,} more, see evaluation.json"
    if accuracy:
        drawn = "drawn by pair, since the people are unknown" if photos.names is None else "drawn by person"
        folds = f"{len(accuracy.counts)} folds {'of the list' if photos.pairs.folds_given else drawn}"
        yield f"accuracy {accuracy.mean:.4f} ± {accuracy.standard_error:.4f} (standard error over {folds})"
    for name, result in evaluation.results.items():
        curve = result.curve
        yield f"\n{name} pairs: {curve.genuine:,} of one person, {curve.impostor:,} of different people"
        yield f"  AUC {auc(curve):.4f}   equal error rate {eer(curve):.4f}"
        for point in result.points:
            tar = "TAR {:.4f} ({:.4f}-{:.4f})".format(point.true.rate, *point.true.interval)
            yield f"  {tar} at FAR {point.far:g}, threshold {point.threshold:.4f}"
        if len(result.points) < len(FARS):
            few = f"{amount(curve.impostor, 'pair')} cannot tell smaller rates"
            yield f"  no more: {few} ({MIN_FALSE_ACCEPTS} false accepts or more)"
    for group in evaluation.groups:
        true, false = group.true, group.false
        rates = f"TAR {true.rate:.4f} of {true.total:,}, FAR {false.rate:.2g} of {false.total:,}"
        yield f"group {group.group} at the threshold for FAR {group.far:g}: {rates}"


def calibration_summary(checked: CheckedCalibration) -> Iterator[str]:
    """Yield the most important figures in lines of text."""
    calibration = checked.calibration
    people = f" of {amount(calibration.people, 'person', 'people')}" if calibration.people else ""
    most, least = calibration.fars[0], calibration.fars[-1]
    yield (
        f"thresholds of rates from {most:g} to {least:g}, fitted on {amount(calibration.impostor_pairs, 'pair')} of "
        f"different people and {calibration.genuine_pairs:,} of one person{people}"
    )
    if not people:
        yield "the people are unknown: a person may be in both halves, and the intervals are too narrow"
    for check in checked.checks:
        rate = next(rate for rate in calibration.rates if rate.far == check.far)
        yield f"\nFAR {check.far:g}: threshold {rate.threshold:.4f} ({rate.low:.4f}-{rate.high:.4f})"
        far = "{:.2g} ({:.2g}-{:.2g})".format(check.false.rate, *check.interval)
        pairs = f"{check.false.count:,} of {amount(check.false.total, 'pair')} of different people"
        yield f"  on other people {far}: {pairs}"
        tar = "TAR {:.4f} ({:.4f}-{:.4f})".format(check.true.rate, *check.true.interval)
        yield f"  {tar} of {amount(check.true.total, 'pair')} of one person"
    yield f"\nidentify, with a name for {FPIR:.0%} of strangers:"
    for size in GALLERIES:
        beyond = ", by the tail fitted to the most similar strangers"
        beyond = "" if size <= calibration.measured_people(FPIR) else beyond
        yield f"  {size:,} people: threshold {calibration.identify_threshold(size):.4f}{beyond}"
    if calibration.gains:
        gains = ", ".join(f"{gain.similarity:.4f} for {gain.photos}" for gain in calibration.gains)
        yield f"  with several photos of a person, whose mean is nearer to strangers, higher by {gains}"
    else:
        yield "  with several photos of a person, higher by a rule: too few people have several to measure that"
    for gallery in checked.galleries:
        photos = f"{gallery.photos} photo{'s' if gallery.photos > 1 else ''} each"
        false = f"{gallery.false.rate:.2%} of {gallery.false.total:,} photos of strangers"
        yield f"  on other people, {gallery.people} enrolled with {photos}: {false}"


def share(value: Share, interval: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return a share with its 95 % interval, Wilson's by default, and its total, as JSON values."""
    low, high = interval or value.interval
    return {"rate": plain(value.rate), "low": plain(low), "high": plain(high), "count": value.count, "of": value.total}


def plain(values: float | np.ndarray) -> Any:
    """Return numbers or arrays as Python's, rounded to 6 digits, with None for what is not finite; text as it is."""
    values = np.asarray(values)
    if values.dtype.kind in "US":
        return values.tolist()
    rounded = np.round(values, 6)
    return np.where(np.isfinite(rounded), rounded.astype(object), np.array(None)).tolist()


def _write_curves(folder: Path, curves: Mapping[str, Roc]) -> None:
    """Write roc.csv: which pairs, false accept rate, threshold, true accept rate."""
    rows = []
    for name, curve in curves.items():
        if curve.is_complete:
            places = np.unique(sampled(curve)[1])
            for place in places[places > 0]:  # the first point accepts nothing
                values = curve.far[place], curve.thresholds[place], curve.tar[place]
                rows.append((name, *(float(f"{value:.6g}") for value in values)))
    write_csv(folder / "roc.csv", ("pairs", "far", "threshold", "tar"), rows)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def _maps(evaluation: FaceEvaluation) -> dict[str, "Figure"]:
    found = np.flatnonzero(~np.isnan(evaluation.embeddings).any(axis=1))[:MOST]
    if len(found) < FEWEST:
        return {}
    embeddings = evaluation.embeddings[found]
    names = None if evaluation.photos.names is None else evaluation.photos.names[found]
    points, variance = principal_plane(embeddings)
    maps = {"map_pca": plot_map(points, names, f"Principal components: {variance:.0%} of the variance")}
    if (near := neighbor_map(embeddings)) is not None:
        maps["map_tsne"] = plot_map(near, names, "t-SNE: neighbors stay near, distances further apart mean nothing")
    return maps
