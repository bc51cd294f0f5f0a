"""Lines of a comparison, from rows made by hand."""

from itertools import product

import numpy as np
import pytest
from drawn_sets import coco, random_boxes, yolo
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vision_app.core.results import Detections
from vision_app.data.detection import load_detection
from vision_app.detection.compare.measure import Conditions, Cost, Run
from vision_app.detection.compare.report import about, times_text
from vision_app.detection.compare.table import (
    FEWER_NOTE,
    Counts,
    DetectorSummary,
    accuracy,
    agree,
    cells,
    csv_rows,
    format_table,
    make_line,
    same_objects,
)

BOX, FAR = [10.0, 10.0, 60.0, 50.0], [70.0, 10.0, 95.0, 60.0]


def found(label, box, score=0.9):
    return {"label": label, "score": score, "box": box}


def row(file, model, detections=(), milliseconds=(), memory=100.0, **more):
    answer = {"width": 100, "height": 80, "model": model, "detections": list(detections)}
    times = {"milliseconds": dict(milliseconds), "memory": memory}
    return {"file": file, "status": "ok", "error": None, **answer, **times, **more}


def failed(file, model):
    return {"file": file, "status": "failed", "error": "no such file", "width": None, "height": None, "model": model,
            "detections": []}  # fmt: skip


FIRST = [
    row("a", "fast", [found("cat", BOX)], {"nms": 1.0, "network": 9.0}, memory=80.0),
    row("b", "fast", [found("cat", BOX), found("dog", FAR)], {"nms": 3.0, "network": 30.0}, memory=90.5),
    row("c", "fast", [], {"nms": 2.0, "network": 10.0}, memory=90.5),
    failed("d", "fast"),
]
SECOND = [
    row("a", "slow", [found("cat", BOX), found("cat", FAR)], {"proposals": 2000.0, "backbone": 500.0}),
    row("b", "slow", [found("dog", BOX)], {"proposals": 3000.0, "backbone": 600.0}),
]


@pytest.fixture(scope="module")
def lines():
    return [make_line(FIRST, Cost(1_500_000, 2_000_000_000)), make_line(SECOND, Cost(), first=FIRST)]


def test_a_line_holds_medians_maxima_and_counts(lines):
    fast, slow = lines
    assert (fast.pictures, fast.failed, slow.pictures, slow.failed) == (3, 1, 2, 0)
    assert fast.stages == {"network": 10.0, "nms": 2.0} and list(fast.stages) == ["network", "nms"]
    assert fast.milliseconds == 12.0 and fast.rate == pytest.approx(1000 / 12)
    assert slow.milliseconds == 3050.0
    assert (fast.memory, slow.memory) == (90.5, 100.0)
    assert fast.agreement is None
    assert slow.agreement == Counts(both=1, only_first=2, only_second=2)  # of images a and b
    assert slow.to_dict()["agreement"] == {"both": 1, "only_first": 2, "only_second": 2, "share": 0.2}


def test_the_time_of_an_image_is_the_median_of_sums_not_the_sum_of_medians():
    times = ({"nms": 1.0, "network": 9.0}, {"nms": 7.0, "network": 6.0}, {"nms": 2.0, "network": 20.0})
    line = make_line([row(str(i), "one", milliseconds=each) for i, each in enumerate(times)], Cost())
    assert line.stages == {"network": 9.0, "nms": 2.0}
    assert line.milliseconds == 13.0  # of 10, 13 and 22


def test_the_text_leaves_out_what_nobody_has(lines):
    heads, rows = cells(lines)
    assert heads == [
        "model", "images", "failed", "ms", "ms (quartiles)", "images/s", "proposals ms", "backbone ms", "network ms",
        "nms ms", "parameters", "multiply-adds", "memory", "agrees",
    ]  # fmt: skip
    assert rows == [
        ["fast", "3", "1", "12.0", "11.0 - 22.5", "83.3", "", "", "10.0", "2.00", "1.50 M", "2.00 G", "90.5 MB", ""],
        ["slow", "2", "", "3,050", "2,775 - 3,325", "0.33", "2,500", "550", "", "", "", "", "100 MB", "20%"],
    ]
    head, _, slow = format_table(lines).splitlines()
    assert head.startswith("model  images") and slow.endswith("20%") and len(head) == len(slow)


def test_csv_has_all_digits(lines):
    fast, slow = csv_rows(lines)
    assert fast["multiply_adds"] == 2_000_000_000 and fast["share"] is None and fast["proposals_milliseconds"] is None
    quartiles = [slow[f"milliseconds_{name}_quartile"] for name in ("lower", "upper")]
    assert quartiles == [2775.0, 3325.0]  # of 2500 and 3600
    assert slow["images_per_second"] == 0.328 and slow["both"] == 1 and slow["network_milliseconds"] is None


def test_stages_have_the_order_of_the_table_beside_each_image_too():
    text = times_text({"preprocess": 1.0, "backbone": 30.0, "proposals": 8.0, "nms": 2.0, "fusion": 3.0})
    assert text == "44 ms: preprocess 1.0, proposals 8.0, backbone 30.0, fusion 3.0, nms 2.0"


def test_an_average_precision_over_fewer_images_is_marked():
    shared = (9, 0, {}, 5.0, None, Cost())
    many, few = (DetectorSummary(name, *shared, judged, 0.5, 0.75) for name, judged in (("a", 9), ("b", 4)))
    heads, rows = cells([many, few])
    assert [row[heads.index(name)] for name in ("AP", "AP50") for row in rows] == ["0.500", "0.500*", "0.750", "0.750*"]
    assert format_table([many, few]).splitlines()[-1] == FEWER_NOTE in about([many, few], Run("9.9", 3))
    assert "*" not in format_table([many, many]) + "".join(about([many, many], Run("9.9", 3)))


def test_the_conditions_of_each_detector_are_told():
    ran = [Conditions(0.25, "cpu", "onnx", None), Conditions(0.3, "cuda", "torch", 2)]
    lines = [make_line(rows, Cost(), conditions=each) for rows, each in zip((FIRST, SECOND), ran, strict=True)]
    heads, rows = cells(lines)
    assert [row[heads.index("confidence")] for row in rows] == ["0.25", "0.3"]
    fast, slow = csv_rows(lines)
    told = [[row[name] for name in ("confidence", "device", "runtime", "threads")] for row in (fast, slow)]
    assert told == [[0.25, "cpu", "onnx", None], [0.3, "cuda", "torch", 2]]
    assert about(lines, Run("9.9", 3, "truth.json"))[0] == (
        "Vision App 9.9; fast with onnx on cpu, threads as ONNX Runtime chooses; slow with torch on cuda, threads: 2; "
        "cores: 3. The ground truth is truth.json."
    )
    assert about(lines[1:], Run("9.9", 3))[0] == "Vision App 9.9; torch on cuda, threads: 2; cores: 3."


def test_a_detector_that_could_read_nothing_has_a_line():
    line = make_line([failed("a", "none")], Cost(), first=[failed("a", "fast")])
    assert (line.pictures, line.failed, line.milliseconds, line.rate, line.memory) == (0, 1, None, None, None)
    assert line.agreement == Counts()


def voc(folder):
    """Two drawn photos and their boxes as VOC writes them."""
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for i in range(2):
        Image.fromarray(np.full((90, 120, 3), 60 + i, np.uint8)).save(folder / "JPEGImages" / f"{i}.jpg")
        objects = "".join(
            f"<object><name>{('nut', 'screw')[label]}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for label, x1, y1, x2, y2 in random_boxes(i)
        )
        text = f"<annotation><filename>{i}.jpg</filename>{objects}</annotation>"
        (folder / "Annotations" / f"{i}.xml").write_text(text)
    return folder


@pytest.mark.parametrize("write", [coco, yolo, voc])
def test_accuracy_is_that_of_the_images_at_hand_in_every_format(write, tmp_path, monkeypatch):
    """All boxes of all photos but one are found, in the file's order of certainty; that one was not looked at."""
    truth = load_detection(write(tmp_path / "set"))
    monkeypatch.chdir(tmp_path)  # an image may be given by another path
    rows = [
        row(
            str(sample.path.relative_to(tmp_path)), "good", width=sample.width, height=sample.height,
            doubtful=[
                found(truth.classes[i], b.tolist())
                for b, i in zip(sample.boxes.xyxy, sample.boxes.labels, strict=True)
            ],
        )
        for sample in truth.samples[1:]
    ]  # fmt: skip
    assert accuracy(rows, truth) == (len(truth) - 1, pytest.approx(1.0), pytest.approx(1.0))
    for one in rows:
        one["doubtful"] = []
    assert accuracy(rows, truth) == (len(truth) - 1, 0.0, 0.0)


def test_without_objects_there_is_no_accuracy(tmp_path):
    truth = load_detection(coco(tmp_path))
    assert accuracy([row("elsewhere.jpg", "good", doubtful=[])], truth) == (0, None, None)


LABELS = ("ant", "bee")
boxes = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))  # x, y, width, height
answers = st.lists(st.tuples(st.sampled_from(LABELS), boxes), max_size=7)


def answer(rows) -> Detections:
    """Detections from (label, (x, y, width, height)); the scores fall."""
    corners = [(x, y, x + width, y + height) for _, (x, y, width, height) in rows]
    scores = np.linspace(0.9, 0.1, len(rows))
    return Detections(np.reshape(corners, (-1, 4)), scores, [label for label, _ in rows], 20, 20, "made up")


def pixels(box) -> set:
    x, y, width, height = box
    return set(product(range(x, x + width), range(y, y + height)))


def overlap(one, other) -> float:
    a, b = pixels(one), pixels(other)
    return len(a & b) / len(a | b)


@given(answers, answers)
def test_pairs_are_those_of_a_search_pixel_by_pixel(one, other):
    """Among the pairs that are left, the one with the largest overlap is taken, until none is left."""
    left = {
        (i, j): round(overlap(a, b), 6)
        for (i, (name, a)), (j, (other_name, b)) in product(enumerate(one), enumerate(other))
        if name == other_name and overlap(a, b) >= 0.5
    }
    expected = []
    while left:
        i, j = min(left, key=lambda pair: (-left[pair], min(pair), max(pair)))
        expected.append((i, j))
        left = {pair: value for pair, value in left.items() if pair[0] != i and pair[1] != j}
    assert sorted(same_objects(answer(one), answer(other))) == sorted(expected)


@given(answers, answers)
def test_every_object_is_counted_once_and_order_does_not_matter(one, other):
    pairs = same_objects(answer(one), answer(other))
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert sorted(pairs) == sorted((i, j) for j, i in same_objects(answer(other), answer(one)))
    there, back = agree(answer(one), answer(other)), agree(answer(other), answer(one))
    assert (there.both + there.only_first, there.both + there.only_second) == (len(one), len(other))
    assert (there.both, there.only_first, there.only_second) == (len(pairs), back.only_second, back.only_first)
    assert 0 <= there.share == back.share <= 1


@given(answers)
def test_an_answer_agrees_with_itself(rows):
    distinct = list(dict.fromkeys(rows))
    assert agree(answer(distinct), answer(distinct)) == Counts(both=len(distinct))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([], [], Counts()),
        ([("ant", (0, 0, 4, 4))], [("bee", (0, 0, 4, 4))], Counts(0, 1, 1)),  # not the same label
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 2))], Counts(1, 0, 0)),  # an overlap of exactly one half
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 1))], Counts(0, 1, 1)),
        ([("ant", (0, 0, 4, 4))], [("ant", (0, 0, 4, 3)), ("ant", (0, 0, 4, 4))], Counts(1, 0, 1)),
    ],
)
def test_agreement_needs_the_same_label_and_half_an_overlap(one, other, expected):
    assert agree(answer(one), answer(other)) == expected


def test_the_pair_that_overlaps_most_comes_first_whatever_the_scores():
    found = same_objects(answer([("ant", (0, 0, 4, 4))]), answer([("ant", (0, 0, 4, 3)), ("ant", (0, 0, 4, 4))]))
    assert found == [(0, 1)]


def test_counts_of_images_add_up():
    total = sum([Counts(1, 2, 3), Counts(4, 0, 0)], Counts())
    assert total == Counts(5, 2, 3) and total.share == 0.5 and Counts().share == 1.0
