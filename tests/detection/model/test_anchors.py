import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchvision.ops import box_iou

from vision_app.detection.model.anchors import best_possible_recall, kmeans_anchors, shape_iou

shapes = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(1, 400))


@given(shapes, shapes)
def test_shape_iou_is_the_iou_of_boxes_with_one_corner_in_common(a, b):
    boxes_a, boxes_b = (torch.from_numpy(np.concatenate([np.zeros_like(x), x], axis=1)) for x in (a, b))
    np.testing.assert_allclose(shape_iou(a, b), box_iou(boxes_a, boxes_b).numpy(), atol=1e-12)


def test_kmeans_finds_clusters_that_lie_apart_and_orders_them_by_area():
    generator = np.random.default_rng(3)
    centers = np.array([[10.0, 12.0], [80.0, 30.0], [40.0, 200.0], [300.0, 280.0]])
    boxes = np.concatenate([center * generator.uniform(0.97, 1.03, (50, 2)) for center in centers])
    anchors, mean_iou = kmeans_anchors(generator.permutation(boxes), k=4)
    np.testing.assert_allclose(anchors, centers[centers.prod(axis=1).argsort()], rtol=0.02)
    assert mean_iou == pytest.approx(shape_iou(boxes, anchors).max(axis=1).mean())
    assert mean_iou > 0.94


def test_kmeans_ends_where_each_anchor_is_the_mean_of_the_boxes_nearest_to_it():
    boxes = np.random.default_rng(0).uniform(5, 300, (400, 2))
    anchors, _ = kmeans_anchors(boxes, k=5)
    nearest = shape_iou(boxes, anchors).argmax(axis=1)
    for i, anchor in enumerate(anchors):
        np.testing.assert_allclose(anchor, boxes[nearest == i].mean(axis=0))


def test_a_seed_gives_the_same_anchors_again():
    boxes = np.random.default_rng(1).uniform(5, 300, (200, 2))
    assert np.array_equal(kmeans_anchors(boxes, 6, seed=4)[0], kmeans_anchors(boxes, 6, seed=4)[0])


def test_best_possible_recall_counts_boxes_that_some_anchor_meets():
    anchors = np.array([[10.0, 10.0], [100.0, 100.0]])
    boxes = np.array([[10.0, 5.0], [10.0, 4.9], [100.0, 99.0], [31.0, 31.0]])  # IoU 0.5, 0.49, 0.99, 0.1
    assert best_possible_recall(boxes, anchors) == 0.5
    assert best_possible_recall(boxes, anchors, threshold=0.09) == 1.0


@pytest.mark.parametrize("boxes", [np.ones((2, 2)), np.array([[1.0, 2.0], [0.0, 3.0], [2.0, 2.0]])])
def test_too_few_or_flat_boxes_are_refused(boxes):
    with pytest.raises(ValueError, match="at least 3 boxes with positive width and height"):
        kmeans_anchors(boxes, 3)
