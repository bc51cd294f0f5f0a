import math

import numpy as np
import pytest

from vision_app.detection.grid import make_grid

STRIDES = (8, 16, 32)
ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
K = 2  # landmarks


def test_rows_run_over_scales_then_lines_then_columns_then_anchors():
    grid = make_grid(64, 96, STRIDES, ANCHORS)
    row = 0
    for stride, anchors in zip(STRIDES, ANCHORS, strict=True):
        for y in range(64 // stride):
            for x in range(96 // stride):
                for anchor in anchors:
                    assert (*grid.cells[row], *grid.strides[row], *grid.anchors[row]) == (x, y, stride, *anchor)
                    row += 1
    assert row == len(grid.cells)


def test_decoding_follows_the_formula_box_by_box():
    grid = make_grid(64, 64, STRIDES, ANCHORS)
    offsets = np.random.default_rng(0).normal(0, 1, (len(grid.cells), 4)).astype(np.float32)
    boxes = grid.decode(offsets)
    for (t_x, t_y, t_h, t_w), (column, row), s, (a_w, a_h), box in zip(
        offsets, grid.cells, grid.strides[:, 0], grid.anchors, boxes, strict=True
    ):
        x, y, w, h = (column + t_x) * s, (row + t_y) * s, a_w * math.exp(t_w), a_h * math.exp(t_h)
        np.testing.assert_allclose(box, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], rtol=1e-4, atol=1e-3)


def test_some_rows_decode_as_they_do_among_all():
    grid = make_grid(96, 64, STRIDES, ANCHORS)
    offsets = np.random.default_rng(1).normal(0, 1, (len(grid.cells), 4)).astype(np.float32)
    rows = np.array([3, 77, 5, len(grid.cells) - 1])
    np.testing.assert_array_equal(grid.decode(offsets[rows], rows), grid.decode(offsets)[rows])


def test_a_wild_offset_gives_a_finite_box():
    grid = make_grid(32, 32, STRIDES, ANCHORS)
    assert np.isfinite(grid.decode(np.full((len(grid.cells), 4), 500, np.float32))).all()


def test_cells_are_rounded_up_where_a_stride_does_not_divide():
    grid = make_grid(96, 160, (32, 64), (((1.0, 1.0),), ((2.0, 2.0),)))
    assert len(grid.cells) == 3 * 5 + 2 * 3
    assert grid.cells[-1].tolist() == [2, 1]


def test_landmarks_are_decoded_from_the_center_of_their_cell_in_sizes_of_the_anchor():
    grid = make_grid(64, 96, STRIDES, ANCHORS)
    offsets = np.random.default_rng(0).normal(size=(len(grid.cells), 2 * K)).astype(np.float32)
    points = grid.landmarks(offsets)
    assert points.shape == (len(offsets), K, 2) and points.dtype == np.float32
    for row, (column, line), s, (a_w, a_h), found in zip(
        offsets, grid.cells, grid.strides[:, 0], grid.anchors, points, strict=True
    ):
        for (l_x, l_y), (x, y) in zip(row.reshape(K, 2), found, strict=True):
            assert x == pytest.approx((column + 0.5) * s + l_x * a_w, rel=1e-5, abs=1e-3)
            assert y == pytest.approx((line + 0.5) * s + l_y * a_h, rel=1e-5, abs=1e-3)
    rows = np.array([5, 3, len(offsets) - 1])
    np.testing.assert_array_equal(grid.landmarks(offsets[rows], rows), points[rows])
    assert grid.landmarks(offsets[:, :0]).shape == (len(offsets), 0, 2)
    assert grid.landmarks(offsets[:0], rows[:0]).shape == (0, K, 2)
