"""An evaluation as plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision_app.batch.sinks import writing
from vision_app.core.figures import new_figure, save_figure
from vision_app.detection.evaluate.curves import RECALLS
from vision_app.detection.evaluate.evaluation import STRICT, Evaluation
from vision_app.detection.evaluate.matching import OVERLAP
from vision_app.detection.evaluate.mistakes import ERROR_KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GRAY, PALE = "#1f5fa8", "#d9741a", "#3a8f4d", "#8a8a8a", "#d9d9d9"
MOST_NUMBERED = 30  # classes of a confusion matrix whose cells show numbers


def write_plots(evaluation: Evaluation, folder: Path) -> None:
    """Write `<name>.png` for each of `PLOTS`.

    Raises:
        OutputError: Something could not be written.
    """
    for name, plot in PLOTS.items():
        path = folder / f"{name}.png"
        with writing(path):
            save_figure(plot(evaluation), path)


def plot_precision_recall(evaluation: Evaluation) -> Figure:
    """Plot precision by recall: each class in gray, and the means, whose areas are AP50 and AP75."""
    figure = new_figure(900, 700)
    axes = _square(figure.add_subplot(), "recall", "precision", "Precision and recall")
    lines = axes.plot(RECALLS, evaluation.curves.T, color=PALE, linewidth=1, zorder=1)
    lines[0].set_label(f"each class, IoU {OVERLAP:.2f}")
    for iou, curves, color in ((OVERLAP, evaluation.curves, BLUE), (STRICT, evaluation.strict_curves, ORANGE)):
        mean = np.nanmean(curves, axis=0)
        axes.plot(RECALLS, mean, color=color, linewidth=2.5, label=f"mean, IoU {iou:.2f}: AP {mean.mean():.3f}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_f1(evaluation: Evaluation) -> Figure:
    """Plot precision, recall and F1 by confidence, and where F1 is best."""
    figure = new_figure(900, 700)
    axes = _square(figure.add_subplot(), "confidence", "", "F1 by confidence")
    confidences = np.linspace(0, 1, 501)
    for sweep in (sweep for sweep in evaluation.class_sweeps if sweep.wanted):
        (line,) = axes.plot(confidences, sweep.at(confidences).f1, color=PALE, linewidth=1, zorder=1)
    line.set_label("F1 of each class")
    sweep = evaluation.sweep.at(confidences)
    axes.plot(confidences, sweep.precision, color=GREEN, linewidth=1.5, linestyle="--", label="precision")
    axes.plot(confidences, sweep.recall, color=ORANGE, linewidth=1.5, linestyle="--", label="recall")
    axes.plot(confidences, sweep.f1, color=BLUE, linewidth=2.5, label="F1 of all detections together")
    axes.axvline(evaluation.confidence, color=GRAY, linewidth=1, linestyle=":")
    label = f"best F1 {evaluation.f1:.3f} at {evaluation.confidence:.2f}"
    axes.plot(evaluation.confidence, evaluation.f1, "o", color=BLUE, label=label)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_confusion(evaluation: Evaluation) -> Figure:
    """Plot what objects of each class are taken for, in percent of the row."""
    matrix = evaluation.confusion
    used = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    names = [(*evaluation.table.classes, "background")[i] for i in used]
    counts = matrix[np.ix_(used, used)]
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    numbered = len(names) <= MOST_NUMBERED
    side = 300 + (36 if numbered else 15) * len(names)
    figure = new_figure(max(side, 640), max(side, 640) - 60)
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    size = 9 if numbered else 7
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("detected")
    axes.set_ylabel("ground truth")
    axes.set_title(f"Confusions at confidence {evaluation.confidence:.2f}, in percent of the row")
    figure.colorbar(image, ax=axes, shrink=0.8)
    for i, j in zip(*np.nonzero(percent >= 0.5), strict=True) if numbered else ():
        color = "white" if percent[i, j] > 50 else "black"
        axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8, color=color)
    return figure


def plot_errors(evaluation: Evaluation) -> Figure:
    """Plot what each kind of error costs, and how often a user meets it."""
    figure = new_figure(1100, 420)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, text, color in (
        (left, evaluation.costs, "{:.3f}", BLUE),
        (right, evaluation.errors, "{:,}", ORANGE),
    ):
        bars = axes.barh(ERROR_KINDS, values, color=color)
        axes.bar_label(bars, [text.format(value) for value in values], padding=4)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    left.invert_yaxis()
    right.tick_params(left=False)
    left.set_title("AP50 gained without these errors")
    right.set_title(f"Number at confidence {evaluation.confidence:.2f}")
    return figure


def plot_reliability(evaluation: Evaluation) -> Figure:
    """Plot the share of true positives by confidence, beside the line where both are equal, and their number."""
    reliability = evaluation.reliability
    figure = new_figure(800, 800)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    title = f"Reliability: confidences are off by {reliability.error:.3f} on average"
    _square(axes, "", "share of true positives", title)
    start, width = reliability.edges[:-1], np.diff(reliability.edges)
    axes.bar(start, np.nan_to_num(reliability.precision), width, align="edge", color=BLUE, edgecolor="white")
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle="--", label="as confident as right")
    axes.plot(reliability.confidence, reliability.precision, "o", color=ORANGE, label="mean confidence of the bin")
    axes.legend(loc="upper left")
    below.bar(start, reliability.counts, width, align="edge", color=PALE, edgecolor="white")
    below.set(yscale="symlog", xlabel="confidence", ylabel="detections")
    below.set_ylim(bottom=0)
    below.spines[["top", "right"]].set_visible(False)
    return figure


def plot_classes(evaluation: Evaluation) -> Figure:
    """Plot AP and AP50 of each class with objects, the best on top."""
    table = evaluation.table
    order = np.flatnonzero(table.wanted)
    order = order[np.argsort(-evaluation.precision.by_class[order, 0], kind="stable")]
    precision = evaluation.precision.by_class[order]
    figure = new_figure(800, 130 + 24 * len(order))
    axes = figure.add_subplot()
    names = [f"{table.classes[i]} ({table.wanted[i]:,})" for i in order]
    places = np.arange(len(order))
    axes.barh(places, precision[:, 1], color=PALE, label="AP50")
    bars = axes.barh(places, precision[:, 0], color=BLUE, height=0.5, label="AP")
    axes.bar_label(bars, [f"{ap:.2f}" for ap in precision[:, 0]], padding=4, fontsize=8)
    axes.set_yticks(places, names, fontsize=9)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_title("Average precision by class (number of objects)")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


PLOTS = {
    "classes": plot_classes,
    "precision_recall": plot_precision_recall,
    "f1": plot_f1,
    "confusion": plot_confusion,
    "errors": plot_errors,
    "reliability": plot_reliability,
}


def _square(axes: Axes, x: str, y: str, title: str) -> Axes:
    """Set both axes to 0 to 1, with a grid."""
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x, ylabel=y, title=title)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
