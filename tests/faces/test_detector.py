"""Finding faces: how the tiles of a photo are merged, and which models are refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_faces import IN_BOX, green_detector, paint_face

from vision_app import read_image
from vision_app.core.boxes import iou_matrix
from vision_app.core.errors import ModelError, UsageError
from vision_app.core.images import RGBImage
from vision_app.detection.base import DetectOptions
from vision_app.faces import detector as detector_module
from vision_app.faces.detector import FaceDetector, _inside, _one_of_each

pytestmark = pytest.mark.slow


def room(width, height):
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("size", "smallest", "boxes"),
    [
        ((416, 300), 20, [(30, 40, 52, 64), (200, 100, 330, 250)]),
        ((160, 160), 20, [(2, 3, 158, 157)]),  # fills the image
        ((900, 1600), 20, [(100, 200, 121, 222), (600, 700, 860, 990), (300, 1500, 330, 1532)]),
        ((2600, 1900), 20, [(x, y, x + 22, y + 25) for x in range(20, 2500, 400) for y in range(30, 1800, 440)]),
        ((2600, 1900), 20, [(700, 500, 1900, 1700)]),  # no tile holds it whole
        ((2600, 1900), 60, [(1240, 930, 1310, 1010), (10, 10, 80, 90)]),
    ],
)
def test_faces_of_every_size_are_found_once_and_where_they_are(size, smallest, boxes):
    pixels = room(*size)
    for box in boxes:
        paint_face(pixels, box)
    found = green_detector(smallest=smallest)(pixels)
    boxes = np.array(boxes, float)
    overlaps = iou_matrix(boxes, found.boxes.astype(float))
    assert len(found) == len(boxes) and overlaps.max(axis=1).min() > 0.8
    places = overlaps.argmax(axis=1)
    expected = boxes[:, None, :2] + IN_BOX * (boxes[:, None, 2:] - boxes[:, None, :2])
    errors = np.abs(found.landmarks[places] - expected).max(axis=(1, 2)) / (boxes[:, 2] - boxes[:, 0])
    assert errors.max() < 0.15
    assert found.labels == ("face",) * len(boxes) and (found.width, found.height) == size


def test_one_image_is_taken_as_a_list_of_one_is():
    pixels, detector = room(300, 200), green_detector()
    paint_face(pixels, (50, 60, 130, 150))
    image = read_image(pixels)
    (alone,), (listed,) = detector.predict(image), detector.predict([image])
    assert len(alone) == 1 and alone.to_dict() == listed.to_dict()


def test_a_face_that_the_edge_cuts_off_is_found_in_the_frame():
    pixels = room(600, 500)
    paint_face(pixels, (0, 150, 260, 500))
    detector = green_detector()
    found = detector(pixels)
    np.testing.assert_allclose(found.boxes, [[0, 150, 260, 500]], atol=6)
    assert (found.landmarks >= 0).all()


def test_a_part_of_a_face_is_not_reported_as_a_face():
    detector = green_detector()
    pixels = room(416, 416)
    paint_face(pixels, (100, 100, 300, 330))
    paint_face(pixels, (180, 180, 230, 230), (90, 90, 90))  # the nose
    paint_face(pixels, (195, 195, 215, 215))  # something in it that looks like a face
    paint_face(pixels, (320, 200, 345, 230))  # another person
    assert sorted(detector(pixels).boxes[:, 0].round(-1)) == [100, 320]


def test_a_faint_large_face_does_not_hide_a_good_one_inside_it():
    boxes = np.float32([[100, 100, 120, 125], [40, 40, 200, 220]])
    points = np.float32(
        [[[105, 108], [115, 108], [110, 114], [106, 120], [114, 120]], [[70, 80], [170, 80]] * 2 + [[120, 190]]]
    )
    assert _inside(boxes, points, np.float32([0.9, 0.2])).tolist() == [False, False]
    assert _inside(boxes, points, np.float32([0.2, 0.9])).tolist() == [True, False]
    boxes[0] = [60, 70, 180, 195]  # more than half as large: another person in front
    assert _inside(boxes, points, np.float32([0.2, 0.9])).tolist() == [False, False]


FRONT = [100, 100, 200, 220]  # a face's box, with its landmarks in the usual places


@pytest.mark.parametrize(
    ("box", "moved", "kept"),
    [
        ([80, 70, 225, 260], 0, [0]),  # around all the hair
        ([80, 70, 225, 260], 0.3, [0]),  # with landmarks that are off a little
        ([120, 120, 180, 190], 0.1, [0]),  # the inner face
        ([80, 70, 225, 260], 0.6, [0, 1]),  # another face that hides behind it, with landmarks of its own
        ([80, 70, 225, 260], 2.0, [0, 1]),
        ([160, 100, 260, 220], 0.1, [0, 1]),  # boxes that hardly share anything
        ([210, 100, 310, 220], 0.1, [0, 1]),
    ],
)
def test_of_nested_boxes_with_the_same_landmarks_the_best_one_remains(box, moved, kept):
    points = np.float32(FRONT[:2] + IN_BOX * [100, 120])
    eyes = np.linalg.norm(points[1] - points[0])
    both = np.stack([points, points + np.float32([0, moved * eyes])])
    assert _one_of_each(np.float32([FRONT, box]), both).tolist() == kept


def test_a_face_that_is_found_twice_is_reported_once(monkeypatch):
    pixels = room(416, 416)
    paint_face(pixels, (100, 100, 200, 220))
    paint_face(pixels, (300, 100, 340, 150))
    detector = green_detector()
    before = detector(pixels)
    merged = FaceDetector._merged

    def twice(self, *arguments):
        found = merged(self, *arguments)
        larger = replace(found, boxes=found.boxes + np.float32([-25, -30, 25, 30]), scores=found.scores - 0.1)
        return found.joined(larger)

    monkeypatch.setattr(FaceDetector, "_merged", twice)
    assert len(before) == 2 and detector(pixels).to_dict() == before.to_dict()


@pytest.mark.parametrize(("glimpse", "searched"), [(0.14, False), (0.16, True)])
def test_turned_copies_are_searched_only_where_something_looks_faintly_like_a_face(monkeypatch, glimpse, searched):
    calls, detector = [], green_detector(checker=SimpleNamespace(model=None))
    monkeypatch.setattr(detector_module, "set_upright", lambda *faces: (faces[-1], np.zeros(0, bool)))
    monkeypatch.setattr(detector_module, "turned_faces", lambda *_: calls.append(1) or green_detector()(room(400, 300)))
    pixels = room(400, 300)
    paint_face(pixels, (50, 60, 130, 150))
    network, logit = detector.detector.network, np.log(glimpse / (1 - glimpse))

    def faint(inputs, stages=None):
        answer = type(network).__call__(network, inputs, stages)
        answer[..., 0] = np.minimum(answer[..., 0], logit)
        return answer

    monkeypatch.setattr(detector.detector, "network", faint)
    assert len(detector(pixels)) == 0 and bool(calls) is searched


def test_an_image_gets_the_same_faces_alone_in_a_batch_and_at_reduced_size():
    detector = green_detector()
    arrays = [room(400, 300), room(1200, 800), room(90, 300)]
    for pixels in arrays:
        paint_face(pixels, (20, 30, 70, 100))
    images = [read_image(pixels) for pixels in arrays]
    parts = [detector.preprocess([image]) for image in images]
    joined = detector.postprocess(detector.forward(detector.join(parts)))
    for image, one, together in zip(images, joined, detector.predict(images), strict=True):
        assert len(one) == 1 and together.to_dict() == detector(image).to_dict()
        assert one.to_dict() == together.to_dict()
        np.testing.assert_array_equal(one.boxes, together.boxes)
    half = RGBImage(np.ascontiguousarray(arrays[1][::2, ::2]), 1200, 800)
    np.testing.assert_allclose(detector(half).boxes, joined[1].boxes, atol=4)


def test_options_apply_to_all_tiles_together():
    pixels = room(900, 900)
    for left in range(20, 800, 100):
        paint_face(pixels, (left, 300, left + 60, 370))
    detector = green_detector()
    assert len(detector(pixels)) == 8
    assert len(detector(pixels, max_detections=3)) == 3
    assert len(detector(pixels, DetectOptions(confidence=0.999))) == 0
    assert len(detector(room(300, 300))) == 0


def test_turned_copies_are_searched_only_where_no_face_is_upright_and_only_if_wanted(monkeypatch):
    pixels, calls = room(400, 300), []
    paint_face(pixels, (50, 60, 130, 150))
    others = green_detector()(np.ascontiguousarray(pixels[:, ::-1]))  # as found in turned copies
    others = replace(others, scores=np.float32([0.5]))

    def turned_faces(*_):
        calls.append(1)
        return others

    monkeypatch.setattr(detector_module, "turned_faces", turned_faces)
    for is_sure, turned, most, count in [
        (False, True, 100, 2), (False, True, 1, 1), (True, True, 100, 1), (False, False, 100, 1)
    ]:  # fmt: skip
        monkeypatch.setattr(detector_module, "set_upright", lambda *faces, sure=is_sure: (faces[-1], np.array([sure])))
        calls.clear()
        found = green_detector(checker=SimpleNamespace(model=None), turned=turned)(pixels, max_detections=most)
        assert len(found) == count and found.scores[0] > 0.9, "the best ones"
        assert len(calls) == (turned and not is_sure)


def test_a_model_that_finds_no_faces_is_refused():
    with pytest.raises(ModelError, match="'yolo' does not find faces with five landmarks"):
        FaceDetector.load("yolo")
    with pytest.raises(ModelError, match=r"unknown model 'nope'; choose from face-detector$"):
        FaceDetector.load("nope")
    with pytest.raises(UsageError, match="smallest 1: must be at least 4; the nearest valid value is 4"):
        FaceDetector.load("yolo", smallest=1)


def test_few_tiles_of_a_large_photo_go_through_the_network_together(monkeypatch):
    monkeypatch.setattr(detector_module, "BATCH", 500_000)
    detector, together = green_detector(), []
    network = detector.detector.network
    detector.detector.network = lambda pixels, stages=None: together.append(pixels.shape) or network(pixels, stages)
    pixels = room(2600, 1900)
    paint_face(pixels, (1240, 930, 1262, 955))
    assert len(detector(pixels)) == 1
    batches = [shape for shape in together if shape[1:3] != (256, 256)]
    assert len(batches) > 3
    assert all(count == 1 or count * rows * columns <= 500_000 for count, rows, columns, _ in batches)


def test_many_faces_are_compared_a_few_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (50, 2))
    boxes = np.hstack([corners, corners + rng.uniform(2, 60, (50, 2))]).astype(np.float32)
    points = (boxes[:, None, :2] + IN_BOX * (boxes[:, None, 2:] - boxes[:, None, :2])).astype(np.float32)
    scores = rng.uniform(size=50).astype(np.float32)
    whole = _inside(boxes, points, scores)
    monkeypatch.setattr(detector_module, "ROWS", 7)
    np.testing.assert_array_equal(_inside(boxes, points, scores), whole)
    assert 0 < whole.sum() < 50
