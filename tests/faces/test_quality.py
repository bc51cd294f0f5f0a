"""The quality of faces: poses of points in space, blur by hand, and what each reason is given for."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.spatial.transform import Rotation
from skimage import data
from tiny_faces import ASTRONAUT

from vision_app.core.images import RGBImage, read_image
from vision_app.faces.align import TEMPLATE, align
from vision_app.faces.quality import (
    BLURRED,
    DEGRADED,
    EXTREME_POSE,
    HALF_HIDDEN,
    MAX_OUTSIDE,
    MIN_DETAIL,
    OVER_EXPOSED,
    POINTS,
    TOO_SMALL,
    UNDER_EXPOSED,
    blur_of,
    detail_of,
    is_in_squares,
    judge,
    judge_all,
    outside,
    pose,
)

BOX = np.array([180.0, 65.0, 268.0, 180.0])  # of the astronaut's face


def seen(yaw, pitch, roll, distance=np.inf):
    """(5, 2) where a camera sees the points of a face; `distance` is the camera's, in distances between the eyes."""
    turned = Rotation.from_euler("xyz", [-pitch, -yaw, roll], degrees=True).apply(POINTS)
    closer = 1 if distance == np.inf else distance / (distance + turned[:, 2:])
    return 37 * closer * turned[:, :2] + [210, 95]


def compressed(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_UNCHANGED)


def judged(pixels, landmarks=ASTRONAUT, box=BOX, seen=()):
    return judge(read_image(pixels), box, landmarks, seen)


@given(st.floats(-80, 80), st.floats(-70, 70), st.floats(-170, 170))
def test_the_pose_of_projected_points_is_recovered(yaw, pitch, roll):
    np.testing.assert_allclose(pose(seen(yaw, pitch, roll)), (yaw, pitch, roll), atol=1e-6)


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-30, 10, 5), (0, -25, -20), (45, 20, 30)])
def test_perspective_and_other_faces_leave_small_errors(angles):
    np.testing.assert_allclose(pose(seen(*angles, distance=12)), angles, atol=6)
    wider = seen(*angles) * [1.05, 1]
    np.testing.assert_allclose(pose(wider), angles, atol=6)


def test_the_signs_of_angles_follow_the_image():
    front = seen(0, 0, 0)
    for angle, axis in ((0, 0), (1, 1)):
        moved = front.copy()
        moved[2, axis] += (5, -5)[angle]  # the nose to the right, or up
        assert pose(moved)[angle] > 5
    lower_left_eye = front + np.outer([0, 1, 0, 0, 0], [0, 10])
    assert pose(lower_left_eye)[2] > 4


def test_blur_equals_a_plain_loop_and_increases_with_smoothing():
    gray = cv2.cvtColor(data.astronaut()[60:180, 170:280], cv2.COLOR_RGB2GRAY)
    padded = np.pad(gray.astype(float), 1, mode="edge")
    laplacian = [
        padded[y - 1, x] + padded[y + 1, x] + padded[y, x - 1] + padded[y, x + 1] - 4 * padded[y, x]
        for y in range(1, 121)
        for x in range(1, 111)
    ]
    expected = 1 / (1 + 16 * np.var(laplacian) / (np.var(gray.astype(float)) + 1))
    assert blur_of(gray) == pytest.approx(expected, rel=1e-4)
    blurs = [blur_of(cv2.GaussianBlur(gray, None, sigma)) for sigma in (0.5, 1, 2, 4)]
    assert blurs == sorted(blurs) and blurs[0] > blur_of(gray)
    assert blur_of(gray // 2) == pytest.approx(blur_of(gray), abs=0.05)  # contrast does not matter
    assert blur_of(np.full((50, 50), 90, np.uint8)) == 1


def test_detail_is_lost_by_blur_and_by_shrinking_alike_and_does_not_depend_on_contrast():
    face = cv2.cvtColor(align(data.astronaut(), ASTRONAUT)[18:-18, 18:-18], cv2.COLOR_RGB2GRAY)
    details = [detail_of(cv2.GaussianBlur(face, None, sigma)) for sigma in (0.5, 1, 2, 3)]
    assert details == sorted(details, reverse=True)
    assert detail_of(face // 2) == pytest.approx(detail_of(face), rel=0.1)
    small = cv2.resize(cv2.resize(face, (10, 10), interpolation=cv2.INTER_AREA), face.shape)
    assert detail_of(small) < MIN_DETAIL < detail_of(face) / 2
    assert detail_of(np.full((76, 76), 90, np.uint8)) == 0


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [
        (lambda pixels: cv2.GaussianBlur(pixels, None, 2), ()),
        (lambda pixels: cv2.GaussianBlur(pixels, None, 3.5), (BLURRED,)),
        (lambda pixels: pixels // 3, ()),
        (lambda pixels: pixels // 14 + 20, (UNDER_EXPOSED,)),  # no pixel is black, and hardly two differ
        (lambda pixels: pixels // 14 + 220, (OVER_EXPOSED,)),
        (lambda pixels: np.array(Image.fromarray(pixels).filter(ImageFilter.CONTOUR)), (DEGRADED,)),
        (lambda pixels: np.array(Image.fromarray(pixels).filter(ImageFilter.EMBOSS)), (DEGRADED,)),
        (lambda pixels: np.array(Image.fromarray(pixels).filter(ImageFilter.SHARPEN)), ()),
    ],
)
def test_limits_lie_where_strangers_begin_to_look_alike(spoil, reasons):
    assert judged(spoil(data.astronaut())).reasons == reasons


def test_a_relief_is_degraded_once_and_only_if_somebody_looked():
    relief = np.array(Image.fromarray(data.astronaut()).filter(ImageFilter.EMBOSS))
    assert judged(relief, seen=(DEGRADED, "half_hidden")).reasons == (DEGRADED, "half_hidden")
    assert judged(relief, seen=None).reasons == ()


@pytest.mark.parametrize(
    ("side", "square", "expected"),
    [(60, 3, True), (61, 3, True), (120, 6, True), (120, 10, True), (60, 2, False), (120, 3, False), (60, 1, False)],
)
def test_a_face_of_fewer_squares_than_pixels_needed_is_in_squares(side, square, expected):
    face = cv2.cvtColor(data.astronaut()[60:180, 165:285], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(face, (side // square,) * 2, interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST)
    assert is_in_squares(mosaic) == is_in_squares(compressed(mosaic, 85)) == expected
    assert not is_in_squares(np.full_like(face, 90))


def test_a_mosaic_is_degraded_though_it_has_the_detail_of_a_face():
    face = data.astronaut()[:400, :400]
    mosaic = cv2.resize(face, (80, 80), interpolation=cv2.INTER_AREA).repeat(5, axis=0).repeat(5, axis=1)
    assert judged(mosaic).reasons == (DEGRADED,)
    assert judged(face).reasons == ()


def test_what_lies_outside_the_photo_neither_darkens_nor_sharpens_a_face():
    pixels = cv2.GaussianBlur(data.astronaut(), None, 3.5)
    moved = np.ascontiguousarray(pixels[:, 195:])  # the left edge of the photo runs along the face
    assert BLURRED in judged(moved, ASTRONAUT - [195, 0], BOX - [195, 0, 195, 0]).reasons


@given(st.floats(0.1, 4), st.floats(-0.9, 0.9))
def test_the_share_of_a_face_outside_the_photo_is_that_of_an_ellipse_behind_a_line(scale, height):
    # The face upright, of that scale, with the lower border at that height of its oval (-1: its top, 1: its chin).
    points = (TEMPLATE + 300) * scale
    image = RGBImage(np.zeros((4, 4, 3), np.uint8), round(1000 * scale), (300 + 68 + 46 * height) * scale)
    segment = np.arccos(height) - height * np.sqrt(1 - height**2)  # of a circle, over pi
    assert outside(image, points) == pytest.approx(segment / np.pi, abs=0.03)


def test_a_face_that_the_border_cuts_is_half_hidden_once():
    photo = data.astronaut()
    assert judged(photo[:185]).reasons == ()  # just below the chin
    cut = np.ascontiguousarray(photo[:140])
    assert outside(read_image(cut), ASTRONAUT) > MAX_OUTSIDE
    assert judged(cut).reasons == (HALF_HIDDEN,) == judged(cut, seen=(HALF_HIDDEN,)).reasons


def test_exposure_is_the_mean_from_the_brows_to_the_chin():
    face = cv2.cvtColor(align(data.astronaut(), ASTRONAUT)[18:, 18:-18], cv2.COLOR_RGB2GRAY)
    assert judged(data.astronaut()).exposure == pytest.approx(face.mean() / 255, abs=1e-6)


def test_a_good_image_has_no_reasons_against_it():
    quality = judged(data.astronaut())
    assert quality.reasons == () and quality.score > 0.4
    assert quality.size == pytest.approx(np.sqrt(88 * 115))
    assert abs(quality.yaw) < 20 and abs(quality.pitch) < 20 and abs(quality.roll) < 10
    row = quality.to_dict()
    assert row.pop("reasons") == []
    assert row == {key: pytest.approx(getattr(quality, key), abs=0.06) for key in row}


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        (BLURRED, lambda pixels: cv2.GaussianBlur(pixels, None, 6)),
        (UNDER_EXPOSED, lambda pixels: pixels // 12),
        (OVER_EXPOSED, lambda pixels: np.minimum(pixels.astype(int) * 4, 255).astype(np.uint8)),
    ],
)
def test_a_poor_image_has_its_reason_and_a_lower_score(reason, spoil):
    good, bad = judged(data.astronaut()), judged(spoil(data.astronaut()))
    assert reason in bad.reasons and bad.score < 0.7 * good.score


def test_a_small_face_is_too_small_but_not_blurred():
    good = judged(data.astronaut())
    small = cv2.resize(data.astronaut(), (96, 96), interpolation=cv2.INTER_AREA)
    bad = judged(small, ASTRONAUT * 96 / 512, BOX * 96 / 512)
    assert bad.reasons == (TOO_SMALL,) and bad.score < 0.7 * good.score
    tiny = cv2.resize(data.astronaut(), (40, 40), interpolation=cv2.INTER_AREA)
    assert judged(tiny, ASTRONAUT * 40 / 512, BOX * 40 / 512).reasons == (TOO_SMALL,)  # without details for its size


def test_a_face_turned_away_has_an_extreme_pose():
    pixels = data.astronaut()
    assert EXTREME_POSE in judged(pixels, seen(60, 0, 0)).reasons
    assert EXTREME_POSE in judged(pixels, seen(0, -50, 0)).reasons
    assert EXTREME_POSE not in judged(pixels, seen(35, 20, 90)).reasons  # a tilt is no matter


def test_the_faces_of_a_photo_are_judged_as_each_is_alone():
    image, boxes = read_image(data.astronaut()), np.stack([BOX, BOX + 20])
    landmarks = np.stack([ASTRONAUT, ASTRONAUT + 20])
    expected = tuple(judge(image, box, points) for box, points in zip(boxes, landmarks, strict=True))
    assert judge_all(image, boxes, landmarks, None) == expected
    assert judge_all(image, boxes[:0], landmarks[:0], None) == ()
