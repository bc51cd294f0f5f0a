"""A comparison as plots, and as one HTML page that needs neither a network nor a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from vision_app.core.figures import new_figure
from vision_app.core.text import amounts
from vision_app.detection.compare.measure import Run
from vision_app.detection.compare.table import (
    FEWER_NOTE,
    OVERLAP,
    Counts,
    DetectorSummary,
    cells,
    in_order,
    judged_on_fewer,
    stage_names,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 88rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #8884; vertical-align: bottom; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
.plots img { max-width: 100%; background: white; }
section { margin: 2rem 0; }
h3 { overflow-wrap: anywhere; margin-bottom: .5rem; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 30rem)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; }
figcaption, .note { font-size: .85rem; opacity: .85; }
"""


@dataclass(frozen=True)
class DetectorView:
    """One image with the objects of one detector.

    Attributes:
        model: Name of the detector.
        source: URL of the image with the boxes, relative to the report or with the data in it.
        link: URL of a larger copy, or None.
        objects: Number of objects by label.
        milliseconds: Times by stage.
        agreement: That with the first detector; None for that one itself, and where it has no answer.
    """

    model: str
    source: str
    link: str | None
    objects: dict[str, int]
    milliseconds: dict[str, float]
    agreement: Counts | None


@dataclass(frozen=True)
class ImageCard:
    """One image: the file's name, and the views of it or why it cannot be read."""

    file: str
    views: tuple[DetectorView, ...] = ()
    error: str | None = None


def render(
    lines: Sequence[DetectorSummary], plots: Iterable[tuple[str, str]], cards: Iterable[ImageCard], notes: Sequence[str]
) -> str:
    """Return the page.

    Args:
        lines: The detectors; agreement is with the first.
        plots: URL and description of each.
        cards: The images to show.
        notes: Sentences on how this was measured.
    """
    sentences = "\n".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    plots_html = "".join(f'<p><img src="{escape(url)}" alt="{escape(text)}"></p>\n' for url, text in plots)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparison of detectors</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Comparison of detectors</h1>\n{_table(lines)}\n{sentences}\n"
        f'<div class="plots">\n{plots_html}</div>\n<h2>Images</h2>\n'
        + "".join(_section(card, lines[0].model) for card in cards)
        + "</body>\n</html>\n"
    )


MEASURED = (
    "Times are medians over the images, one at a time, from the decoded image to its boxes, after a warm-up; medians "
    "of stages need not add up to the median of the whole. The detectors ran one after the other, so times are "
    "comparable only if nothing else ran on the machine; half of the images took a time between the quartiles."
)


def about(lines: Sequence[DetectorSummary], run: Run, times: str = MEASURED) -> list[str]:
    """Return what a reader of the table must know; `times` says how they were measured."""
    sentences = [_circumstances(lines, run), times]
    if any(line.cost.multiply_adds for line in lines):
        sentences.append(
            "Multiply-adds are those of convolutions and matrix products for the first image; proposals by selective "
            "search, pooling, RoIAlign and non-max suppression count nothing."
        )
    if any(line.memory for line in lines):
        sentences.append(
            "Memory is the peak of a process that runs this detector alone, Python and all libraries included."
        )
    sentences.append(
        f"A detector agrees with {lines[0].model} on the share of objects that both found (one label, IoU of "
        f"{OVERLAP:g} or more) among all that either found, each at its own confidence."
    )
    if len({line.pictures + line.failed for line in lines}) > 1:
        sentences.append("Not all detectors ran on all images: each line says how many, and AP is over those alone.")
    if any(judged_on_fewer(lines)):
        sentences.append(FEWER_NOTE)
    return sentences


def _circumstances(lines: Sequence[DetectorSummary], run: Run) -> str:
    """Return a text such as "Vision App 0.1.0; torch on cpu, threads: 2; cores: 2.", and the ground truth's name."""
    models = {line.model: str(line.conditions) for line in lines if line.conditions}
    alike = len(set(models.values())) == 1
    ways = dict.fromkeys(way if alike else f"{model} with {way}" for model, way in models.items())
    truth = f" The ground truth is {run.truth}." if run.truth else ""
    return "; ".join([f"Vision App {run.version}", *ways, f"cores: {run.cores}"]) + f".{truth}"


def _table(lines: Sequence[DetectorSummary]) -> str:
    heads, rows = cells(lines)
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _section(card: ImageCard, first: str) -> str:
    if card.error is not None:
        return f"<section>\n<h3>{escape(card.file)}</h3>\n<p>{escape(card.error)}</p>\n</section>\n"
    views = "".join(_figure(view, card.file, first) for view in card.views)
    return f'<section>\n<h3>{escape(card.file)}</h3>\n<div class="views">\n{views}</div>\n</section>\n'


def _figure(view: DetectorView, file: str, first: str) -> str:
    found = amounts(view.objects)
    alt = escape(f"{file} by {view.model}: {found}")
    image = f'<img src="{escape(view.source)}" alt="{alt}" loading="lazy">'
    if view.link:
        image = f'<a href="{escape(view.link)}">{image}</a>'
    words = [f"<strong>{escape(view.model)}</strong>: {escape(found)}"]
    if (counts := view.agreement) is not None:
        words.append(escape(counts_text(counts, first, view.model)))
    words.append(escape(times_text(view.milliseconds)))
    return f"<figure>\n{image}\n<figcaption>{'<br>'.join(words)}</figcaption>\n</figure>\n"


def counts_text(counts: Counts, first: str, second: str) -> str:
    """Return a text such as "2 by both, 1 by yolo alone, 0 by faster-rcnn alone"."""
    return f"{counts.both} by both, {counts.only_first} by {first} alone, {counts.only_second} by {second} alone"


def times_text(milliseconds: dict[str, float]) -> str:
    """Return a text such as "41 ms: preprocess 1, backbone 30, heads 8, nms 2"."""
    parts = ", ".join(f"{name} {time:,.1f}" for name, time in in_order(milliseconds).items())
    return f"{sum(milliseconds.values()):,.0f} ms: {parts}"


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
