"""Turned faces are set upright: the geometry by hand, and the astronaut at every angle."""

import cv2
import numpy as np
import pytest
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.core.images import read_image
from vision_app.core.results import Detections
from vision_app.faces.align import TEMPLATE
from vision_app.faces.detector import FaceDetector
from vision_app.faces.quality import judge_all, pose
from vision_app.faces.upright import box_of, once, turned_faces

GRAY = (114, 114, 114)


def detections(boxes, scores, landmarks=None, size=(600, 400)):
    landmarks = np.zeros((len(boxes), 5, 2)) if landmarks is None else landmarks
    return Detections(boxes, scores, ("face",) * len(boxes), *size, "any", landmarks)


@pytest.mark.parametrize(("roll", "width", "height"), [(0, 76, 92), (90, 92, 76), (45, 84.4, 84.4), (180, 76, 92)])
def test_the_box_of_a_turned_face_is_that_of_an_ellipse_around_it(roll, width, height):
    cosine, sine = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    points = 2 * (TEMPLATE - [56, 60]) @ np.array([[cosine, sine], [-sine, cosine]]) + [300, 200]
    box = box_of(points)
    np.testing.assert_allclose(box[2:] - box[:2], [2 * width, 2 * height], atol=0.2)
    np.testing.assert_allclose((box[2:] + box[:2]) / 2, [300, 200], atol=1e-3)


def test_of_boxes_of_one_face_the_one_that_is_sure_remains_and_then_the_one_of_the_best_score():
    boxes = [[0, 0, 100, 100], [10, 0, 110, 100], [300, 0, 400, 100], [320, 20, 380, 80], [0, 200, 90, 290]]
    faces, is_sure = detections(boxes, [0.9, 0.5, 0.8, 0.7, 0.6]), np.array([False, True, False, False, True])
    found, sure = once(faces, is_sure, fresh=np.array([False, True, True, False, False]))
    assert found.boxes[:, 0].tolist() == [10, 300, 0] and sure.tolist() == [True, False, True]
    found, sure = once(faces, is_sure, fresh=np.zeros(5, bool))
    assert len(found) == 5 and sure.tolist() == is_sure.tolist()


def turned(pixels, roll):
    """The pixels (H, W, 3) turned clockwise on gray, and the (2, 3) way of their points."""
    height, width = pixels.shape[:2]
    side = int(np.ceil(np.hypot(width, height)))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -roll, 1)
    matrix[:, 2] += [(side - width) / 2, (side - height) / 2]
    way = matrix.copy()
    way[:, 2] += 0.5 - 0.5 * matrix[:, :2].sum(axis=1)
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=GRAY), way


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.load(threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("roll", range(0, 360, 30))
def test_the_astronaut_s_landmarks_are_found_at_every_angle(detector, roll):
    pixels, way = turned(data.astronaut()[:300, 50:400], roll)
    found = detector(pixels)
    expected = (ASTRONAUT - [50, 0]) @ way[:, :2].T + way[:, 2]
    errors = np.abs(found.landmarks - expected).max(axis=(1, 2))
    assert errors.min() < 11  # of 44 pixels between the eyes
    best = errors.argmin()
    difference = pose(found.landmarks[best])[2] - roll
    assert abs((difference + 180) % 360 - 180) < 8
    (quality,) = judge_all(read_image(pixels), found.boxes[[best]], found.landmarks[[best]], detector.checker)
    assert quality.reasons == ()
    assert found.boxes[best].prod() > 0 and quality.size == pytest.approx(100, rel=0.2)


@pytest.mark.slow
def test_a_face_in_a_turned_copy_is_reported_where_it_is_in_the_photo(detector):
    pixels, way = turned(data.astronaut()[:300, 50:400], 135)
    pixels = np.ascontiguousarray(pixels[:, : pixels.shape[1] - 60])  # not square
    image = read_image(pixels)
    found = turned_faces(detector.detector, detector.checker, image, "any", 0.5)
    expected = (ASTRONAUT - [50, 0]) @ way[:, :2].T + way[:, 2]
    assert np.abs(found.landmarks - expected).max() < 11 and len(found) == 1
    np.testing.assert_allclose(found.boxes[0], box_of(found.landmarks[0]), atol=0.1)
    assert (found.width, found.height, found.model) == (image.width, image.height, "any")
    assert len(turned_faces(detector.detector, detector.checker, image, "any", 0.999)) == 0


@pytest.mark.slow
def test_an_upright_face_keeps_what_the_first_two_looks_found(detector):
    bare = FaceDetector(detector.detector)
    assert detector(data.astronaut()).to_dict() == bare(data.astronaut()).to_dict()
    nobody = np.full((200, 300, 3), 90, np.uint8)
    assert len(detector(nobody)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("unnatural_tone", lambda pixels: 255 - pixels),
        ("unnatural_shape", lambda pixels: cv2.resize(pixels, None, fx=2, fy=1)),
        ("unnatural_shape", lambda pixels: cv2.resize(pixels, None, fx=1, fy=2)),
        ("mouth_covered", lambda pixels: covered(pixels, [(185, 122), (262, 122), (258, 165), (225, 180), (190, 165)])),
        ("eyes_covered", lambda pixels: covered(pixels, [(182, 90), (265, 92), (262, 115), (184, 113)])),
    ],
)
def test_a_spoiled_photo_has_its_reason(detector, reason, spoil):
    pixels = spoil(data.astronaut()[:300, 50:400] if reason.startswith("unnatural") else data.astronaut())
    found = detector(pixels)
    quality = judge_all(read_image(pixels), found.boxes[:1], found.landmarks[:1], detector.checker)
    assert reason in quality[0].reasons


def covered(pixels, outline):
    """The pixels behind a dark patch."""
    pixels = pixels.copy()
    cv2.fillPoly(pixels, [np.array(outline, np.int32)], (40, 42, 60), cv2.LINE_AA)
    return pixels
