"""Turned faces are set upright: the geometry by hand, and the astronaut at every angle."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.core.images import read_image
from vision_app.core.results import Detections
from vision_app.faces import upright
from vision_app.faces.align import TEMPLATE, similarity
from vision_app.faces.checker import CHECKS, MAX_ROLL, Checks
from vision_app.faces.detector import FaceDetector
from vision_app.faces.quality import judge_all, pose
from vision_app.faces.upright import box_of, set_upright, turned_faces, without_duplicates

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
    found, sure = without_duplicates(faces, is_sure, is_new=np.array([False, True, True, False, False]))
    assert found.boxes[:, 0].tolist() == [10, 300, 0] and sure.tolist() == [True, False, True]
    found, sure = without_duplicates(faces, is_sure, is_new=np.zeros(5, bool))
    assert len(found) == 5 and sure.tolist() == is_sure.tolist()


def angle_of(points):
    """Degrees by which landmarks (5, 2) are turned clockwise."""
    matrix = similarity(points)
    return -np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))


def points_at(middle, side, angle):
    """(5, 2) landmarks of a face with a box of that side in that place, turned clockwise."""
    turn = np.exp(1j * np.radians(angle))
    values = (TEMPLATE - [56, 60]) @ [1, 1j] * turn * side / np.sqrt(76 * 92)
    return np.stack([values.real, values.imag], axis=1) + middle


class World:
    """A checker of faces that are turned by known angles, and a second look at them.

    Attributes:
        middles, angles: Where the faces are, and how they are turned clockwise.
        unsure: By the degrees that landmarks are off, 0 to 180, the probability that they are unsure; the last one of
            what is at least that much.
        seen: The landmarks of every call of the checker.
        reach: Degrees that landmarks may be off for a second look to find the face.
        rest: Share of the degrees off that a second look leaves.
    """

    def __init__(self, middles, angles, unsure, *, reach=30, rest=0.0, first=None, score=0.9):
        self.middles, self.angles, self.unsure, self.reach, self.rest = np.array(middles), angles, unsure, reach, rest
        self.first, self.score, self.seen = first, score, []

    def off(self, points):
        """Which face it is, and by how many degrees landmarks have to be turned, -180 to 180."""
        face = int(np.linalg.norm(self.middles - points.mean(axis=0), axis=1).argmin())
        return face, (self.angles[face] - angle_of(points) + 180) % 360 - 180

    def at(self, image, landmarks):
        rolls, unsure = np.zeros(len(landmarks)), np.zeros(len(landmarks))
        for i, points in enumerate(landmarks):
            _, off = self.off(points)
            rolls[i] = off if abs(off) < 60 else 0
            unsure[i] = next(odds for least, odds in sorted(self.unsure.items(), reverse=True) if abs(off) >= least)
        if self.first is not None and not self.seen:  # landmarks that look better than they are
            rolls[:], unsure[:] = self.first
        self.seen.append(landmarks)
        probabilities = np.zeros((len(landmarks), len(CHECKS)))
        probabilities[:, 0] = unsure
        bad = probabilities > 0.5
        bad[:, 0] |= np.abs(rolls) > MAX_ROLL
        return Checks(rolls, probabilities, bad)

    def second_look(self, detector, image, landmarks):
        found = np.full(landmarks.shape, np.nan)
        for i, points in enumerate(landmarks):
            face, off = self.off(points)
            if abs(off) < self.reach:
                side = np.linalg.norm(points[1] - points[0]) / np.linalg.norm(TEMPLATE[1] - TEMPLATE[0])
                angle = self.angles[face] - off * self.rest
                found[i] = points_at(self.middles[face], side * np.sqrt(76 * 92), angle)
        return found, np.full(len(landmarks), self.score)


IMAGE = read_image(np.zeros((400, 600, 3), np.uint8))
CLEAR = {0: 0.01, 5: 0.2, 20: 0.4, 50: 0.8}


def upright_in(world, monkeypatch, sides=(100,)):
    """What becomes of faces found upright, and which are sure."""
    monkeypatch.setattr(upright, "second_look", world.second_look)
    landmarks = np.stack([points_at(place, side, 0) for place, side in zip(world.middles, sides, strict=True)])
    boxes = [box_of(points) for points in landmarks]
    found = detections(boxes, [0.9] * len(boxes), landmarks)
    return found, *set_upright(None, world, IMAGE, found)


@pytest.mark.parametrize(
    ("what", "angle", "first", "unsure", "expected"),
    [
        ("a turned face", 40, None, CLEAR, 40),
        ("one that is upside down", 180, None, CLEAR, 180),
        ("one whose landmarks look right, but not quite", 40, (5, 0.2), CLEAR, 40),
        ("one whose landmarks look right", 40, (5, 0.05), CLEAR, 0),
        ("one that is nearly upright, of landmarks that look nearly right", 15, (5, 0.2), CLEAR, 0),
        ("one whose new landmarks look worse than the first", 40, (5, 0.2), {0: 0.3, 20: 0.4}, 0),
        ("one that looks best upside down, where no face is found", 40, (0, 0.9), {0: 0.2, 155: 0.1}, 40),
        ("one that looks sure nowhere", 40, (50, 0.9), {0: 0.55}, 0),
    ],
)
def test_the_landmarks_that_look_surest_after_a_second_look_win_if_they_are_better(
    monkeypatch, what, angle, first, unsure, expected
):
    world = World([[300, 200]], [angle], unsure, first=first)
    before, found, is_sure = upright_in(world, monkeypatch)
    assert (angle_of(found.landmarks[0]) - expected + 180) % 360 - 180 == pytest.approx(0, abs=0.01), what
    is_kept = expected == 0
    assert np.array_equal(found.landmarks, before.landmarks) is is_kept
    assert is_sure.tolist() == [not is_kept or first[1] < 0.5]
    if not is_kept:
        np.testing.assert_allclose(found.boxes[0], box_of(points_at([300, 200], 100, angle)), atol=0.1)


def test_small_faces_are_left_as_they_are_and_all_others_are_looked_at_together(monkeypatch):
    places, sides = [[100, 100], [300, 100], [500, 100], [300, 300]], [23, 25, 100, 100]
    world = World(places, [90, 90, 90, 0], CLEAR)
    before, found, is_sure = upright_in(world, monkeypatch, sides)
    assert [round(angle_of(points)) for points in found.landmarks] == [0, 90, 90, 0]
    assert is_sure.tolist() == [False, True, True, True]
    assert len(world.seen[1]) == 2 * 12, "the angles of both doubtful faces, in one call"
    np.testing.assert_array_equal(found.boxes[[0, 3]], before.boxes[[0, 3]])


@pytest.mark.parametrize(
    ("before", "after", "looks"),
    [  # how unsure a turned face seems before and after each look at it, and how many looks are worth it
        (0.97, [0.4, 0.4, 0.4], 3),
        (0.99, [0.4, 0.4, 0.4], 0),
        (0.9, [0.59, 0.59, 0.59], 3),
        (0.9, [0.61, 0.4, 0.4], 1),
        (0.9, [0.4, 0.61, 0.4], 2),
        (0.9, [0.4, 0.4, 0.61], 3),
    ],
)
def test_a_face_that_remains_hopeless_is_not_looked_at_again(monkeypatch, before, after, looks):
    world, calls = World([[300, 200]], [40], {0: before}), []

    def second_look(*arguments):
        world.unsure = {0: after[len(calls)], 5: before}
        calls.append(len(arguments[2]))
        return world.second_look(*arguments)

    at = world.at
    monkeypatch.setattr(world, "at", lambda *faces: replace(at(*faces), roll=at(*faces).roll * 0.5))
    landmarks = points_at([300, 200], 100, 0)[None]
    monkeypatch.setattr(upright, "second_look", second_look)
    set_upright(None, world, IMAGE, detections([box_of(landmarks[0])], [0.9], landmarks))
    assert len(calls) == looks


def test_of_very_many_doubtful_faces_the_largest_are_looked_at(monkeypatch):
    monkeypatch.setattr(upright, "MOST", 2)
    places, sides = [[100, 100], [300, 100], [500, 100], [300, 300]], [60, 100, 80, 50]
    world = World(places, [90, 90, 90, 90], CLEAR)
    _, found, is_sure = upright_in(world, monkeypatch, sides)
    assert is_sure.tolist() == [False, True, True, False]
    assert [round(angle_of(points)) for points in found.landmarks] == [0, 90, 90, 0]
    assert len(world.seen[1]) == 2 * 12


class Copies:
    """A detector that finds one face in each turned copy, where it is not."""

    size, pad = 416, 114

    def __init__(self, middle, score, off):
        self.middle, self.score, self.off = middle, score, off

    def scaled(self, share):
        assert share == pytest.approx(160 / self.size)
        return self

    def predict(self, copies, options):
        assert len(copies) == 7
        kept = self.score >= options.confidence
        points = points_at([80, 80], 40, self.off)[None]
        return [detections([box_of(points[0])], [self.score], points, (160, 160))[[0] if kept else []] for _ in copies]


@pytest.mark.parametrize(
    ("score", "confidence", "rest", "count"),
    [
        (0.9, 0.7, 0, 1),
        (0.45, 0.7, 0, 1),  # faint in the copy, clear when it is upright
        (0.35, 0.7, 0, 0),
        (0.9, 0.95, 0, 0),  # not as clear as it should be
        (0.9, 0.7, 0.3, 1),  # upright after three looks
        (0.9, 0.7, 0.6, 0),
    ],
)
def test_a_face_in_a_turned_copy_counts_once_it_is_upright_and_clear(monkeypatch, score, confidence, rest, count):
    world = World([[300, 200]], [135], {0: 0.01, 2: 0.6}, reach=181, rest=rest)
    monkeypatch.setattr(upright, "second_look", world.second_look)
    # The checker sees no turn, as with landmarks that collapse, so that the looks alone do it.
    at = world.at
    monkeypatch.setattr(world, "at", lambda *faces: replace(at(*faces), roll=np.zeros(len(faces[1]))))
    found = turned_faces(Copies([300, 200], score, 22.5), world, IMAGE, "any", confidence)
    assert len(found) == count
    for points in found.landmarks:
        assert abs(angle_of(points) - 135) < 2


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
    assert abs((difference + 180) % 360 - 180) < 9
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
def test_a_face_that_stands_upright_is_not_moved(detector):
    bare = FaceDetector(detector.detector, landmarker=detector.landmarker)
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
        ("mouth_covered", lambda pixels: covered(pixels, [(135, 122), (212, 122), (208, 165), (175, 180), (140, 165)])),
        ("eyes_covered", lambda pixels: covered(pixels, [(132, 90), (215, 92), (212, 115), (134, 113)])),
        ("degraded", lambda pixels: small(pixels)[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)),
        ("degraded", lambda pixels: noisy(small(pixels), 25)),
        ("degraded", lambda pixels: noisy(small(pixels) // 4, 12)),
        ("degraded", lambda pixels: compressed(small(pixels), 3)),
        ("degraded", lambda pixels: np.array(Image.fromarray(small(pixels)).filter(ImageFilter.EMBOSS))),
        ("half_hidden", lambda pixels: pixels[:, :170]),
        ("half_hidden", lambda pixels: pixels[100:]),
        ("mouth_covered", lambda pixels: pixels[:138]),
        ("half_hidden", lambda pixels: covered(pixels, [(172, 0), (349, 0), (349, 299), (172, 299)])),
    ],
)
def test_a_spoiled_photo_has_its_reason(detector, reason, spoil):
    pixels = np.ascontiguousarray(spoil(data.astronaut()[:300, 50:400]))
    found = detector(pixels)
    quality = judge_all(read_image(pixels), found.boxes[:1], found.landmarks[:1], detector.checker)
    assert reason in quality[0].reasons


def covered(pixels, outline):
    """The pixels behind a dark patch."""
    pixels = pixels.copy()
    cv2.fillPoly(pixels, [np.array(outline, np.int32)], (40, 42, 60), cv2.LINE_AA)
    return pixels


def small(pixels):
    """The photo at a size at which its face has 60 pixels."""
    return cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def noisy(pixels, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def compressed(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_COLOR)
