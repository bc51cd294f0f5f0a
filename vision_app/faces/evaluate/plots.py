"""Curves, histograms and maps of faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision_app.batch.sinks import writing
from vision_app.core.figures import new_figure, save_figure
from vision_app.faces.evaluate.metrics import Roc, auc
from vision_app.faces.evaluate.pairs import Comparisons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#1f5fa8", "#d9741a", "#3a8f4d")
PALE = "#d9d9d9"
POINTS = 500  # of a curve
COLORED = 20  # people of a map who get a color


def write_figures(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write `<name>.png` for each figure.

    Raises:
        OutputError: A file could not be written.
    """
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        with writing(path):
            save_figure(figure, path)


def plot_roc(curves: Mapping[str, Roc]) -> Figure:
    """Plot the true accept rate by false accept rate, whose axis is logarithmic: rare false accepts matter."""
    figure, axes = _plot_by_far(
        curves, "true accept rate", lambda curve: curve.tar, lambda curve: f", AUC {auc(curve):.4f}"
    )
    axes.set(ylim=(0, 1.01), title="ROC: pairs of one person that are accepted")
    axes.legend(loc="lower right", frameon=False)
    return figure


def plot_det(curves: Mapping[str, Roc]) -> Figure:
    """Plot both errors against each other on logarithmic axes; the equal error rate is on the dashed line."""
    figure, axes = _plot_by_far(curves, "false reject rate", lambda curve: 1 - curve.tar)
    axes.plot([1e-9, 1], [1e-9, 1], color="#8a8a8a", linestyle="--", zorder=0)
    least = min(0.5 / curve.genuine for curve in curves.values())
    axes.set(yscale="log", ylim=(least, 1), title="DET: errors of both kinds")
    axes.legend(loc="lower left", frameon=False)
    return figure


def plot_similarities(pairs: Comparisons, thresholds: Mapping[str, float]) -> Figure:
    """Plot the distribution of similarities, and thresholds."""
    figure = new_figure(900, 600)
    axes = figure.add_subplot()
    known = ~np.isnan(pairs.similarity)
    edges = np.linspace(min(pairs.similarity[known].min(initial=0), -0.2), 1, 81).tolist()
    kinds = (("pairs of different people", ~pairs.same), ("pairs of one person", pairs.same))
    for (name, chosen), color in zip(kinds, COLORS, strict=False):
        values = pairs.similarity[chosen & known]
        if len(values):
            label = f"{name} ({len(values):,})"
            axes.hist(values, edges, density=True, color=color, alpha=0.6, label=label)
    for name, threshold in thresholds.items():
        axes.axvline(threshold, color="#444444", linewidth=1, linestyle=":")
        axes.text(threshold, 1, f" {name}", rotation=90, va="top", fontsize=8, transform=axes.get_xaxis_transform())
    axes.set(xlabel="cosine similarity", ylabel="density", title="Similarities")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
    return figure


def plot_map(points: np.ndarray, names: np.ndarray | None, title: str) -> Figure:
    """Plot photos as points of a plane; the people with most photos in colors, all others gray.

    Args:
        points: (F, 2).
        names: (F,) who is on each photo, or None.
        title: Says how the map was made.
    """
    figure = new_figure(1000, 800)
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=8, color=PALE, label="others" if names is not None else "photos")
    if names is not None:
        people, counts = np.unique(names, return_counts=True)
        shown = people[np.argsort(-counts, kind="stable")][: min(COLORED, int((counts > 1).sum()))]
        for i, name in enumerate(shown):
            mine, marker = points[names == name], "o" if i < 10 else "^"
            axes.scatter(mine[:, 0], mine[:, 1], s=18, color=f"C{i % 10}", marker=marker, label=f"{name} ({len(mine)})")
    axes.set(title=title, xticks=[], yticks=[])
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def principal_plane(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the plane in which embeddings vary most (PCA, Pearson 1901).

    Args:
        embeddings: (F, D), both 2 or more.

    Returns:
        (F, 2) and the share of the variance that they show.
    """
    centered = embeddings - embeddings.mean(axis=0)
    left, spread, axes = np.linalg.svd(centered, full_matrices=False)
    signs = np.where(axes[:2].sum(axis=1) < 0, -1, 1)  # the sign of an axis is arbitrary; this fixes it
    return left[:, :2] * spread[:2] * signs, float((spread[:2] ** 2).sum() / max((spread**2).sum(), 1e-12))


def neighbor_map(embeddings: np.ndarray) -> np.ndarray | None:
    """Return (F, 2) a plane in which neighbors stay close (t-SNE, van der Maaten 2008); None without scikit-learn."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return None
    perplexity = min(30, (len(embeddings) - 1) / 3)
    method = TSNE(init="pca", perplexity=perplexity, metric="cosine", random_state=0)
    return np.asarray(method.fit_transform(embeddings))


def sampled(curve: Roc) -> tuple[np.ndarray, np.ndarray]:
    """Return false accept rates from that of a single false accept up to 1, and their places in a curve."""
    far = np.geomspace(1 / curve.impostor, 1, POINTS)
    return far, curve.at(far)


def _plot_by_far(
    curves: Mapping[str, Roc],
    label: str,
    rate: Callable[[Roc], np.ndarray],
    remark: Callable[[Roc], str] = lambda curve: "",
) -> tuple[Figure, Axes]:
    """Plot a rate of each curve by false accept rate, from that of a single pair up to 1."""
    figure = new_figure(900, 700)
    axes = figure.add_subplot()
    least = min(1 / curve.impostor for curve in curves.values())
    axes.set(xscale="log", xlim=(least, 1), xlabel="false accept rate", ylabel=label)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for (name, curve), color in zip(curves.items(), COLORS, strict=False):
        far, place = sampled(curve)
        axes.plot(far, rate(curve)[place], color=color, linewidth=2, label=name + remark(curve))
    return figure, axes
