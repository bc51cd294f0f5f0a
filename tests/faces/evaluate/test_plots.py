"""Curves and maps of faces."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vision_app.faces.evaluate.evaluation import evaluate
from vision_app.faces.evaluate.plots import neighbor_map, plot_det, plot_roc, principal_plane


def test_curves_begin_at_a_single_false_accept(people):
    curve = evaluate(*people).every.curve
    for plot in (plot_roc, plot_det):
        (axes,) = plot({"all pairs": curve}).axes
        assert axes.get_xlim() == (1 / curve.impostor, 1)
        far, rate = axes.lines[0].get_data()
        assert far[0] == pytest.approx(1 / curve.impostor) and far[-1] == 1
        assert rate[-1] == (1 if plot is plot_roc else 0)


def test_the_plane_of_a_map_is_that_of_scikit_learn(people):
    _, embeddings = people
    points, share = principal_plane(embeddings)
    reference = PCA(2).fit(embeddings)
    expected = reference.transform(embeddings)
    signs = np.sign((points * expected).sum(axis=0))
    np.testing.assert_allclose(points, expected * signs, atol=1e-4)
    assert share == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-5)


def test_a_map_by_t_sne_keeps_people_apart():
    ends = np.repeat(np.eye(4), 6, axis=0)[:12] + np.random.default_rng(0).normal(scale=0.05, size=(12, 4))
    points = neighbor_map(ends.astype(np.float32))
    first, second = points[:6], points[6:]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert apart > 2 * max(np.linalg.norm(half - half.mean(axis=0), axis=1).max() for half in (first, second))
