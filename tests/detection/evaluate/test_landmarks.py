"""The error of landmarks, counted by hand."""

import numpy as np
import pytest
from detection_tables import as_set

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.evaluate.landmarks import landmark_error, landmark_errors
from vision_app.detection.evaluate.table import rows_in_order

NAN = [np.nan, np.nan]
BOXES = np.array([[0, 0, 20, 5], [40, 40, 60, 60], [80, 0, 90, 10]], float)  # sizes 10, 20 and 10
POINTS = np.array([[[1, 1], [9, 4]], [[45, 45], NAN], [[81, 1], [82, 2]]])


def errors(found_boxes, found_labels, found_points, scores=None):
    scores = np.ones(len(found_boxes)) if scores is None else scores
    parts = (np.array(part, float) for part in (found_boxes, found_labels, scores, found_points))
    truth = LabeledBoxes.make(BOXES, np.array([0, 1, 0]), landmarks=POINTS)
    return landmark_errors(truth, LabeledBoxes.make(*parts)).tolist()


def test_distances_are_parts_of_the_size_of_the_objects_that_were_found():
    found = [[0, 0, 20, 5], [41, 40, 60, 60], [80, 0, 90, 10]]  # the last one as another class
    points = [[[1, 1], [9, 9]], [[48, 49], [0, 0]], [[81, 1], [82, 2]]]
    assert errors(found, [0, 1, 1], points) == pytest.approx([0, 0.5, 0.25])


def test_the_best_box_that_overlaps_an_object_speaks_for_it():
    """Not the one that overlaps it most."""
    found, points = [[40, 40, 60, 60], [40, 40, 60, 56], [40, 40, 60, 48]], [[NAN, NAN], [[45, 47], NAN], [NAN, NAN]]
    assert errors(found, [1, 1, 1], points, [0.2, 0.3, 0.9]) == pytest.approx([0.1])
    assert errors(found, [1, 1, 1], points, [0.3, 0.2, 0.9]) == []
    assert errors(found[2:], [1], points[:1]) == []  # IoU 0.4
    assert errors(np.zeros((0, 4)), [], np.zeros((0, 2, 2))) == []


def test_the_error_of_rows_against_a_truth():
    truth = {
        "categories": [{"id": 5, "name": "kite"}],
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [
            {"image_id": image, "category_id": 5, "bbox": box, "keypoints": points, "num_keypoints": known}
            for image, box, points, known in (
                (0, [0, 0, 20, 5], [1, 1, 2, 9, 4, 1], 2),
                (1, [40, 40, 20, 20], [45, 45, 2, 0, 0, 0], 1),
                (2, [0, 0, 20, 20], [0] * 6, 0),
            )
        ]
        + [{"image_id": 2, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1, "keypoints": [0] * 6}],
    }
    one = {"label": "kite", "score": 0.9, "box": [0, 0, 20, 5], "landmarks": [[1, 2], [9, 4]]}
    other = {"label": "kite", "score": 0.8, "box": [40, 40, 60, 60], "landmarks": [[51, 53], [0, 0]]}
    doubtful = other | {"score": 0.1, "landmarks": [[45, 45], [0, 0]]}
    rows = [{"file": "1.png", "detections": [doubtful, other, {"label": "buoy", "score": 1, "box": [40, 40, 60, 60]}]}]
    rows += [{"file": "0.png", "detections": [one]}, {"file": "2.png", "detections": [one]}]
    data = as_set(truth)
    assert landmark_error(data, rows_in_order(data, rows)) == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert landmark_error(data, [{"detections": []}] * 3) is None
