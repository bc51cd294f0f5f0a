"""Boxes in another form than a format's are told by all of a set, and none is refused that may be right."""

import re

import pytest
from coco_files import annotation, image

from vision_app.core.errors import DataError
from vision_app.data.box_form import BoxForm
from vision_app.data.coco import load_coco
from vision_app.data.detection import load_detection
from vision_app.data.scan_report import ScanReport

CORNERS = [[5, 5, 30, 25], [20, 10, 60, 40], [30, 20, 64, 48], [2, 30, 40, 47]]
SIZES = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in CORNERS]
PARTS = [[x / 64, y / 48, w / 64, h / 48] for x, y, w, h in SIZES]


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        (SIZES, None),
        (CORNERS, "its boxes are two corners, x1, y1, x2 and y2: read as x, y, width and height, 3 of 4 reach beyond"),
        (CORNERS[1:], "3 of 3 reach beyond their images, and as corners all fit; write x, y, width"),
        (CORNERS[1:3], None),  # too few
        ([CORNERS[0]] * 2 + CORNERS[1:3], "2 of 4 reach beyond"),  # half of them
        ([CORNERS[0]] * 4 + CORNERS[1:2], "1 of 5 reach beyond"),
        (
            [CORNERS[0]] * 49 + [[40, 40, 10, 8]] + CORNERS * 4,
            "12 of 66 reach beyond their images, and as corners 65 fit",
        ),
        ([*CORNERS, [40, 40, 10, 8]], None),  # one that is no two corners
        ([*CORNERS, [40, 40, 70, 48]], None),  # one that is beyond the image as corners, too
        ([[9, 9, 50, 36], [2, 2, 60, 40], [16, 8, 52, 30], [20, 12, 30, 26]], None),  # drawn past an edge
        ([[2, 2, 64, 48], [1, 1, 64, 48], [0, 0, 64, 48]], None),  # photos filled by an object, a little too large
        (PARTS, "not in pixels, 4 of its 4 boxes are in parts of their images' sides, from 0 to 1; write x, y, width"),
        ([[0, 0, 1, 1], *PARTS], "4 of its 5 boxes are in parts"),
        ([[0.2, 0.1, 0.6, 0.5], *SIZES], None),
        ([[0, 0, 1, 1], [1, 0, 1, 1], [0, 1, 1, 1]], None),  # of single pixels
    ],
)
def test_boxes_of_coco_files_that_have_another_form_are_refused(write, boxes, words):
    path = write([image(1)], [annotation(1, box) for box in boxes])
    if words is None:
        assert len(load_coco(path).samples[0].boxes) > 0
        return
    with pytest.raises(DataError, match="boxes.json: .*" + re.escape(words)):
        load_coco(path)


@pytest.mark.parametrize(("first", "is_refused"), [(".1 .1 .5 .5", True), (".9 .9 .1 .1", False)])
def test_rows_of_yolo_files_that_are_corners_are_refused(write, tmp_path, first, is_refused):
    write([image(1)])
    (tmp_path / "labels").mkdir()
    rows = [first, ".3 .2 .9 .8", ".5 .4 1 1", ".1 .6 .8 .95"]
    (tmp_path / "labels" / "1.txt").write_text("".join(f"0 {row}\n" for row in rows))
    (tmp_path / "data.yaml").write_text("train: images\nnames: [dog]\n")
    if is_refused:
        with pytest.raises(
            DataError, match=r"data\.yaml: .* read as center x, center y, width and height, 4 of 4 reach"
        ):
            load_detection(tmp_path / "data.yaml")
    else:
        assert len(load_detection(tmp_path / "data.yaml").samples[0].boxes) == 4


def test_what_fits_as_it_should_be_is_never_refused_whatever_else_it_may_be():
    form = BoxForm("x, y, width and height")
    for box in SIZES:
        x, y, w, h = box
        form.add(box, (x, y, x + w, y + h), 640, 480)
    assert (form.boxes, form.beyond, form.corners, form.parts) == (4, 0, 3, 0)
    report = ScanReport()
    form.check("any", report)
    assert report.problems == []


FITTING = [[2, 2, 20, 20], [5, 3, 25, 14], [1, 8, 30, 30]]  # both ways


@pytest.mark.parametrize(
    ("areas", "are_corners"),
    [
        ([324, 220, 638], True),  # of corners
        ([400, 350, 900], False),  # of x, y, width and height
        ([324, 350, 900], False),
        ([200, 300, 100], False),  # of outlines
        ([0, 0, 0], False),
        ([None, "", "?"], False),
    ],
)
def test_areas_tell_corners_although_every_box_fits_in_its_image(write, areas, are_corners):
    path = write([image(1)], [annotation(1, box, area=area) for box, area in zip(FITTING, areas, strict=True)])
    if are_corners:
        with pytest.raises(DataError, match="areas of 3 of 3 are those of corners, and as corners all fit"):
            load_coco(path)
    else:
        assert load_coco(path).report.problems == []


@pytest.mark.parametrize(
    ("beyond", "is_told"),
    [([], False), ([[20, 10, 60, 40]], True), ([[0, 0, 65, 48]], False), ([[20, 10, 60, 40], [40, 4, 9, 9]], False)],
)
def test_boxes_that_may_be_corners_are_told_where_too_few_reach_beyond_to_be_sure(write, beyond, is_told):
    path = write([image(1)], [annotation(1, box) for box in [CORNERS[0]] * 30 + beyond])
    words = "1, such as read as x, y, width and height, 1 of 31 reach beyond their images, and as corners"
    told = [one for one in load_coco(path).report.problems if one.startswith("boxes may be corners")]
    assert len(told) == is_told and all(words in one for one in told)


@pytest.mark.parametrize(("middles", "is_told"), [(0, False), (1, False), (3, True), (9, True)])
def test_boxes_that_may_be_given_by_their_centers_are_told(middles, is_told):
    form, report = BoxForm("x, y, width and height"), ScanReport()
    for _ in range(12 - middles):
        form.add([10, 10, 8, 8], [10, 10, 18, 18], 64, 48)
    for _ in range(middles):
        form.add([50, 40, 20, 14], [50, 40, 70, 54], 64, 48)
    form.check("boxes.json", report)
    told = (
        f"read as x, y, width and height, {middles} of 12 reach beyond their images; they may be given by their centers"
    )
    assert [line.endswith(told) for line in report.counts] == [True] * is_told
