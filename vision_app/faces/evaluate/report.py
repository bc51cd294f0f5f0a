"""An evaluation of faces as JSON, as CSV tables, as plots and as a summary to read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from vision_app.batch.sinks import OutputError, write_csv
from vision_app.faces.evaluate.evaluation import Evaluation, Result
from vision_app.faces.evaluate.metrics import FARS, LEAST, Roc, Share, auc, eer
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

SHOWN = 10  # photos without a face that the summary names
FEWEST, MOST = 3, 2_000  # faces of a map; of more, the first ones, since t-SNE takes its time


def to_dict(evaluation: Evaluation) -> dict:
    """The figures as JSON values, None where there is nothing to measure."""
    photos = evaluation.photos
    content = {
        "photos": len(photos.files),
        "people": None if photos.names is None else len(np.unique(photos.names)),
        "without_face": evaluation.faceless,
    }
    content |= {"listed": None, "all": None}
    content |= {name: _result(result) for name, result in evaluation.results.items()}
    if evaluation.listed:
        content["listed"]["accuracy"] = {
            "mean": plain(evaluation.accuracy.mean),
            "standard_error": plain(evaluation.accuracy.standard_error),
            "folds": plain(evaluation.accuracy.accuracies),
            "thresholds": plain(evaluation.accuracy.thresholds),
            "folds_given": photos.listed.folds_given,
        }
    content["groups"] = [
        {
            "group": group.name,
            "far": group.far,
            "threshold": plain(group.threshold),
            "tar": share(group.accepted),
            "measured_far": share(group.false),
        }
        for group in evaluation.groups
    ]
    return content


def write_report(evaluation: Evaluation, folder: Path, about: dict) -> None:
    """Writes `evaluation.json`, which starts with `about`, tables as CSV files and plots as PNG files.

    Raises:
        OutputError: something could not be written.
    """
    curves = {f"{name} pairs": result.curve for name, result in evaluation.results.items()}
    write_csv(folder / "roc.csv", ("pairs", "far", "threshold", "tar"), list(roc_lines(curves)), lambda line: [line])
    if listed := evaluation.photos.listed:
        files = np.array(evaluation.photos.files)
        columns = (
            files[listed.first],
            files[listed.second],
            listed.same.astype(int),
            evaluation.listed.pairs.similarity,
        )
        lines = list(zip(*map(plain, columns), strict=True))
        write_csv(folder / "pairs.csv", ("file_a", "file_b", "same", "similarity"), lines, lambda line: [line])
    if evaluation.groups:
        columns = ("group", "far", "threshold", "genuine", "tar", "impostor", "measured_far")
        lines = [
            (one.name, one.far, plain(one.threshold), one.accepted.total, plain(one.accepted.rate),
             one.false.total, plain(one.false.rate))
            for one in evaluation.groups
        ]  # fmt: skip
        write_csv(folder / "groups.csv", columns, lines, lambda line: [line])
    write_json(folder / "evaluation.json", about | to_dict(evaluation))
    figures = {}
    if drawn := {name: curve for name, curve in curves.items() if curve.genuine and curve.impostor}:
        figures = {"roc": plot_roc(drawn), "det": plot_det(drawn)}
    result = evaluation.every or evaluation.listed
    thresholds = {f"FAR {tar.far:g}": tar.threshold for tar in result.tars}
    figures["similarities"] = plot_similarities(result.pairs, thresholds)
    write_figures(figures | _maps(evaluation), folder)


def summary(evaluation: Evaluation) -> Iterator[str]:
    """The figures that matter, in lines of text."""
    photos, faceless = evaluation.photos, evaluation.faceless
    people = "" if photos.names is None else f" of {len(np.unique(photos.names)):,} people"
    yield f"{len(photos.files):,} photos{people}, no face found in {len(faceless):,}: their pairs count as errors"
    for file in faceless[:SHOWN]:
        yield f"  no face: {file}"
    if len(faceless) > SHOWN:
        yield f"  and {len(faceless) - SHOWN:,} more, see evaluation.json"
    if evaluation.listed:
        accuracy = evaluation.accuracy
        folds = f"{len(accuracy.counts)} folds " + (
            "of the list" if photos.listed.folds_given else
            "drawn by person" if photos.names is not None else "drawn by pair, since nobody says who is on the photos"
        )  # fmt: skip
        yield f"accuracy {accuracy.mean:.4f} ± {accuracy.standard_error:.4f} (standard error over {folds})"
    for name, result in evaluation.results.items():
        curve = result.curve
        yield f"\n{name} pairs: {curve.genuine:,} of one person, {curve.impostor:,} of different people"
        yield f"  AUC {auc(curve):.4f}   equal error rate {eer(curve):.4f}"
        for tar in result.tars:
            low, high = tar.share.interval
            yield f"  TAR {tar.share.rate:.4f} ({low:.4f}-{high:.4f}) at FAR {tar.far:g}, threshold {tar.threshold:.4f}"
        if len(result.tars) < len(FARS):
            yield f"  no more: {curve.impostor:,} pairs are too few for smaller rates ({LEAST} false accepts or more)"
    for group in evaluation.groups:
        true, false = group.accepted, group.false
        rates = f"TAR {true.rate:.4f} of {true.total:,}, FAR {false.rate:.2g} of {false.total:,}"
        yield f"group {group.name} at the threshold for FAR {group.far:g}: {rates}"


def roc_lines(curves: Mapping[str, Roc]) -> Iterator[tuple]:
    """Lines of a table: which pairs, false accept rate, threshold, true accept rate."""
    for name, curve in curves.items():
        if curve.genuine and curve.impostor:
            _, place = sampled(curve)
            place = np.unique(place[place > 0])  # the first point accepts nothing
            for line in zip(curve.far[place], curve.thresholds[place], curve.tar[place], strict=True):
                yield name, *(float(f"{value:.6g}") for value in line)


def share(value: Share) -> dict:
    """A share with its 95 % interval and what it is a share of."""
    low, high = value.interval
    return {"rate": plain(value.rate), "low": plain(low), "high": plain(high), "count": value.count, "of": value.total}


def plain(values):
    """Numbers or arrays as Python's, rounded to 6 digits, with None for what is not finite; texts as they are."""
    if np.asarray(values).dtype.kind in "US":
        return np.asarray(values).tolist()
    rounded = np.round(values, 6)
    return np.where(np.isfinite(rounded), rounded.astype(object), None).tolist()


def write_json(path: Path, content: dict) -> None:
    """Writes JSON values.

    Raises:
        OutputError: they could not be written.
    """
    try:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(path, error) from error


def _result(result: Result) -> dict:
    return {
        "genuine": result.curve.genuine,
        "impostor": result.curve.impostor,
        "auc": plain(auc(result.curve)),
        "eer": plain(eer(result.curve)),
        "tar": [{"far": tar.far, "threshold": plain(tar.threshold), **share(tar.share)} for tar in result.tars],
    }


def _maps(evaluation: Evaluation) -> dict:
    found = np.flatnonzero(~np.isnan(evaluation.embeddings).any(axis=1))[:MOST]
    if len(found) < FEWEST:
        return {}
    embeddings = evaluation.embeddings[found]
    names = None if evaluation.photos.names is None else evaluation.photos.names[found]
    points, variance = principal_plane(embeddings)
    maps = {"map_pca": plot_map(points, names, f"Principal components: {variance:.0%} of the variance")}
    if (points := neighbor_map(embeddings)) is not None:
        maps["map_tsne"] = plot_map(points, names, "t-SNE: neighbors stay near, distances further apart mean nothing")
    return maps
