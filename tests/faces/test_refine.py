"""The second pass over faces: landmarks that are off are corrected, in the photo's pixels and in their order."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_faces import green_detector, paint_face

from vision_app import Detections, read_image
from vision_app.core.images import RGBImage
from vision_app.faces.refine import BATCH, refine

BOXES = [(50, 60, 126, 148), (300, 100, 528, 364), (200, 420, 238, 464)]


@pytest.fixture(scope="module")
def photo():
    pixels = np.full((500, 600, 3), 90, np.uint8)
    for box in BOXES:
        paint_face(pixels, box)
    return read_image(pixels)


@pytest.fixture(scope="module")
def found(photo):
    """The faces before the second pass."""
    detector = green_detector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision_app.faces.detector.refine", lambda detector, image, faces: faces)
        return detector(photo)


def errors(one, other):
    """(N,) largest distance of a face's landmarks in shares of its width."""
    widths = other.boxes[:, 2] - other.boxes[:, 0]
    return np.abs(one.landmarks - other.landmarks).max(axis=(1, 2)) / widths


def test_landmarks_that_are_off_are_corrected(photo, found):
    detector = green_detector()
    widths = (found.boxes[:, 2] - found.boxes[:, 0])[:, None, None]
    middles = found.landmarks.mean(axis=1, keepdims=True)
    off = middles + 1.15 * (found.landmarks - middles) + widths * np.float32([0.12, -0.08])
    spoiled = replace(found, landmarks=off)
    assert errors(spoiled, found).min() > 0.1
    refined = refine(detector.detector, photo, spoiled)
    assert errors(refined, found).max() < 0.04
    np.testing.assert_array_equal(refined.boxes, found.boxes)
    assert errors(detector(photo), found).max() < 0.04
    half = RGBImage(np.ascontiguousarray(photo.pixels[::2, ::2]), photo.width, photo.height)
    assert errors(refine(detector.detector, half, spoiled), found).max() < 0.08


def test_many_faces_get_the_same_landmarks_as_each_alone(photo, found):
    detector = green_detector().detector
    some = [i % len(found) for i in range(BATCH + 1)]
    labels = [found.labels[i] for i in some]
    size = (found.width, found.height)
    many = Detections(found.boxes[some], found.scores[some], labels, *size, found.model, found.landmarks[some])
    together, alone = refine(detector, photo, many), refine(detector, photo, found)
    np.testing.assert_array_equal(together.landmarks, alone.landmarks[some])


def test_refined_landmarks_are_what_postprocess_gives(photo, found):
    detector = green_detector()
    (faces,) = detector.postprocess(detector.forward(detector.preprocess([photo])))
    np.testing.assert_array_equal(faces.landmarks, refine(detector.detector, photo, found).landmarks)
    assert faces.to_dict() == detector(photo).to_dict()


def test_landmarks_stay_where_the_second_pass_finds_no_face(photo, found):
    blank = read_image(np.full((500, 600, 3), 90, np.uint8))
    assert refine(green_detector().detector, blank, found).to_dict() == found.to_dict()
    nobody = green_detector()(blank)
    assert len(nobody) == 0 and refine(green_detector().detector, blank, nobody) is nobody
