"""Plot a comparison: speed and accuracy, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vision_app.core.figures import new_figure
from vision_app.detection.compare.table import DetectorSummary, stage_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {
    "preprocess": "#8a8a8a", "proposals": "#b5482f", "backbone": "#1f5fa8", "heads": "#d9741a",
    "network": "#5a7fb0", "nms": "#3a8f4d",
}  # fmt: skip
OTHER, BLUE = "#7a5fa8", "#1f5fa8"


def plot_accuracy(lines: Sequence[DetectorSummary]) -> Figure:
    """Plot AP50 by milliseconds per image, of the detectors that have both: up and to the left is better."""
    figure = new_figure(800, 560)
    axes = figure.add_subplot()
    for line in lines:
        if line.ap50 is None or line.milliseconds is None:
            continue
        axes.plot(line.milliseconds, line.ap50, "o", color=BLUE, markersize=8)
        text = f"{line.model}\n{line.milliseconds:,.0f} ms, {line.ap50:.3f}"
        axes.annotate(text, (line.milliseconds, line.ap50), xytext=(9, -4), textcoords="offset points", fontsize=9)
    axes.set(xscale="log", xlabel="milliseconds per image", ylabel="AP50", title="Speed and accuracy")
    axes.margins(x=0.25, y=0.2)
    axes.grid(color="#eeeeee", which="both")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_stages(lines: Sequence[DetectorSummary]) -> Figure:
    """Plot the share of each stage in the time of an image, and the whole time in milliseconds."""
    lines = [line for line in lines if line.milliseconds]
    figure = new_figure(800, 130 + 46 * len(lines))
    axes = figure.add_subplot()
    names = [f"{line.model}, {line.milliseconds:,.0f} ms" for line in lines]
    whole = [sum(line.stages.values()) for line in lines]
    left = [0.0] * len(lines)
    for stage in stage_names(lines):
        widths = [100 * line.stages.get(stage, 0.0) / total for line, total in zip(lines, whole, strict=True)]
        axes.barh(range(len(lines)), widths, left=left, color=COLORS.get(stage, OTHER), height=0.6, label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(lines)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="percent of the time", title="Where the time goes")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=7, frameon=False)
    return figure
