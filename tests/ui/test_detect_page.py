"""The Detect page as a visitor's session sees it, without a browser."""

import asyncio
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from image_files import encode
from PIL import Image
from skimage import data
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from streamlit.testing.v1 import AppTest

from vision_app import DetectOptions, Detector, draw, read_image
from vision_app.cli import main
from vision_app.core.errors import ImageError
from vision_app.detection.compare import FAMILY
from vision_app.detection.grid_detector import GridDetector
from vision_app.ui import downloads, models, pictures
from vision_app.ui import inference_cache as look
from vision_app.ui.text import plain
from vision_app.ui.uploads import MOST_PICTURES

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load("yolo")


@pytest.fixture
def page() -> AppTest:
    return visit()


@pytest.fixture
def forward_calls(monkeypatch) -> list[int]:
    """Grows by the number of pictures whenever a network runs."""
    calls, forward = [], GridDetector.forward

    def counting(self, inputs, *more):
        calls.append(len(inputs.pixels))
        return forward(self, inputs, *more)

    monkeypatch.setattr(GridDetector, "forward", counting)
    return calls


def visit() -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60).run()
    assert not page.exception
    return page


def upload(page: AppTest, files: dict[str, bytes]) -> AppTest:
    page.file_uploader[0].set_value([(name, content, "image/any") for name, content in files.items()]).run()
    assert not page.exception
    return page


def slider(page: AppTest, label: str):
    return next(item for item in page.slider if item.label == label)


def tables(page: AppTest) -> list[list[tuple]]:
    """The table of every picture: label, score in percent, box."""
    return [list(table.value.itertuples(index=False, name=None)) for table in page.dataframe]


def expected(detections) -> list[tuple]:
    items = detections.to_dict()["detections"]
    return [
        (item["label"], pytest.approx(100 * item["score"], abs=0.01), ", ".join(f"{x:.0f}" for x in item["box"]))
        for item in items
    ]


def words(page: AppTest) -> str:
    return "\n".join(item.value for item in page.markdown)


def test_a_visitor_without_pictures_is_told_what_to_do(page):
    assert "Upload" in words(page)
    assert [button.label for button in page.button] == list(pictures.SAMPLES)
    assert not page.dataframe
    assert not page.error


def test_a_sample_shows_what_the_detector_finds_in_it(page, detector):
    page.button[0].click().run()
    found = detector(pictures.sample("Cat").data)
    assert "cat" in found.labels
    assert tables(page) == [expected(found)]
    assert f":primary-badge[cat · {found.count()['cat']}]" in words(page)
    (times,) = (item.value for item in page.caption if "ms" in item.value)
    assert times.startswith("Reading") and "network" in times and "NMS" in times


def test_samples_can_be_added_and_put_away(page):
    page.button[0].click().run()
    page.pills(key="samples").set_value(["Cat", "Coffee"]).run()
    assert [item.value for item in page.subheader] == [plain("cat.jpg"), plain("coffee.jpg")]
    page.pills(key="samples").set_value([]).run()
    assert not page.subheader and len(page.button) == len(pictures.SAMPLES)


def test_own_pictures_take_the_place_of_samples(page, coffee, detector):
    page.button[0].click().run()
    upload(page, {"mine.jpg": coffee})
    assert tables(page) == [expected(detector(coffee))]
    assert not page.pills


def test_no_setting_runs_the_network_again(page, cat, coffee, detector, forward_calls):
    def answers(**options) -> list[list[tuple]]:
        return [expected(detector(image, **options)) for image in (cat, coffee)]

    default, low, loose = answers(), answers(confidence=0.05), answers(confidence=0.05, iou=0.95)
    only_cups = answers(confidence=0.05, iou=0.95, classes=("cup",))
    only_best = answers(confidence=0.05, iou=0.95, max_detections=1)
    assert default != low != loose
    forward_calls.clear()

    upload(page, {"cat.png": cat, "coffee.jpg": coffee})
    assert forward_calls == [1, 1]
    assert tables(page) == default
    slider(page, "Confidence").set_value(0.05).run()
    assert tables(page) == low
    slider(page, "Overlap").set_value(0.95).run()
    assert tables(page) == loose
    page.multiselect[0].set_value(["cup"]).run()
    assert tables(page) == [table for table in only_cups if table]
    page.multiselect[0].set_value([]).run()
    page.number_input[0].set_value(1).run()
    assert tables(page) == only_best
    assert forward_calls == [1, 1]


def test_a_picture_is_looked_at_once_whatever_it_is_called(page, cat, coffee, forward_calls):
    upload(page, {"a.png": cat, "b.png": cat})
    assert forward_calls == [1]
    upload(page, {"a.png": cat, "c.jpg": coffee})
    assert forward_calls == [1, 1]


def test_visitors_do_not_share_what_was_seen(cat, forward_calls):
    upload(visit(), {"a.png": cat})
    upload(visit(), {"a.png": cat})
    assert forward_calls == [1, 1]


def test_nothing_found_says_which_slider_to_move(page, cat):
    upload(page, {"cat.png": cat})
    slider(page, "Confidence").set_value(0.99).run()
    assert [item.value for item in page.info] == ["No objects above 99% — lower the confidence."]
    page.multiselect[0].set_value(["dog"]).run()
    assert [item.value for item in page.info] == ["No objects of the chosen classes above 99% — lower the confidence."]


def test_a_bad_file_gets_one_sentence_and_the_others_their_boxes(page, cat, bad_files, detector):
    files = {name: content for name, (content, _) in bad_files.items()}
    upload(page, {**files, "cat.png": cat})
    assert len(page.error) == len(bad_files)
    for (name, (_, reason)), error in zip(bad_files.items(), page.error, strict=True):
        assert error.value.startswith(plain(name)) and reason in error.value
        assert "\n" not in error.value and "Traceback" not in error.value
    found = detector(cat)
    assert tables(page) == [expected(found)]
    assert re.search(rf"\*\*1 picture:\*\* .*{found.count()['cat']} cat.* — 4 files not read", words(page))


def test_too_many_pictures_are_cut_off_with_a_sentence(page):
    tiny = encode(Image.new("RGB", (32, 32), "gray"), "PNG")
    upload(page, {f"{i}.png": tiny for i in range(MOST_PICTURES + 3)})
    assert len(page.subheader) == MOST_PICTURES
    assert f"first {MOST_PICTURES} of {MOST_PICTURES + 3} pictures" in page.warning[0].value


def test_the_page_says_which_model_runs_and_what_its_card_says(page, detector, monkeypatch):
    measured = {"VOC val": {"AP": 0.4711, "AP50": 0.7163}, "my set": {"AP": 0.5}}
    info = {"measured": measured, "learned_from": ["some photos", "some boxes"], "license": "A-1.0"}
    monkeypatch.setitem(detector.model.info, "parameters", 1_234_567)
    for key, value in info.items():
        monkeypatch.setitem(detector.model.info, key, value)
    monkeypatch.setattr(Detector, "load", lambda name, **_: detector)
    models.detector.clear()
    page.run()

    (about,) = page.expander
    assert (about.label, page.selectbox[0].value) == ("About yolo", "yolo")
    facts = {
        "Finds": "80 classes",
        "Confidence by default": f"{detector.defaults['confidence']:.0%}",
        "Measured on VOC val": "AP 0.471, AP50 0.716",
        "Measured on my set": "AP 0.500",
        "Size": "1.23 million parameters",
        "Learned from": "some photos; some boxes",
        "License": "A-1.0",
    }
    assert [item.value for item in about.caption] == [f"**{plain(k)}**  \n{plain(v)}" for k, v in facts.items()]


def test_damaged_models_are_left_out_with_a_warning(monkeypatch, tmp_path, detector):
    """Beside a good model: one whose model.json says nothing, two for other pages, one without its weights."""
    others = {"style": {"task": "style"}, "faces": {"classes": ["face"]}}
    contents = {"a": "{}"} | {name: json.dumps(detector.model.info | other) for name, other in others.items()}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(content)
    shutil.copytree(detector.model.folder, tmp_path / "zebra")
    (tmp_path / "zebra" / "model.onnx").write_bytes(b"not what was released")
    monkeypatch.setenv("VISION_APP_MODELS", str(tmp_path))
    page = visit()
    assert [item.value for item in page.warning] == [plain(f"{tmp_path}/a/model.json: has no usable 'task'")]
    assert page.selectbox[0].options == [*FAMILY, "zebra"] and not page.error
    page.selectbox[0].set_value("zebra").run()
    assert [item.value for item in page.error] == [
        plain(f"{tmp_path}/zebra/model.onnx: damaged or changed, its digest is not the one in model.json")
    ]
    page.selectbox[0].set_value("yolo").run()
    assert page.file_uploader and not page.error


def test_without_a_model_the_page_says_so(monkeypatch):
    monkeypatch.setattr("vision_app.ui.models.available", list)
    page = visit()
    assert [error.value for error in page.error] == [
        plain("there is no model to find objects with: the folder models/ holds none")
    ]


def answer(picture: pictures.Picture, detector: Detector) -> downloads.Answer:
    try:
        return picture, detector(picture.data)
    except ImageError as error:
        return picture, error


def test_the_downloads_are_what_the_command_writes(tmp_path, monkeypatch, detector, bad_files):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.coffee()).save("coffee.png")
    Image.fromarray(data.chelsea()).save("Kätzchen.png")
    for name, (content, _) in bad_files.items():
        Path(name).write_bytes(content)
    names = ["coffee.png", *bad_files, "Kätzchen.png"]
    assert main(["detect", *names, "--output", "out", "--csv", "--images"]) == 1
    answers = [answer(pictures.Picture(name, Path(name).read_bytes()), detector) for name in names]
    with zipfile.ZipFile(io.BytesIO(downloads.archive(answers, detector.name))) as files:
        written = {path.relative_to("out").as_posix(): path for path in Path("out").rglob("*.*")}
        assert {*files.namelist()} == {*written} - {"detections.settings.json"}
        for name in files.namelist():
            assert files.read(name) == written[name].read_bytes(), name
    row = json.loads(Path("out/detections.jsonl").read_text().splitlines()[0])
    assert downloads.row(*answers[0], detector.name) == row
    own = np.asarray(Image.open(io.BytesIO(downloads.annotated(*answers[0], ".png"))))
    np.testing.assert_array_equal(own, draw(read_image("coffee.png"), answers[0][1]))
    assert (own != data.coffee()).any()


def test_pictures_of_one_name_are_told_apart():
    uploads = [SimpleNamespace(name=name, getvalue=lambda: b"") for name in ("a.jpg", "a.jpg", "a (2).jpg", "a.jpg")]
    names = [picture.name for picture in pictures.uploaded(uploads)]
    assert names == ["a.jpg", "a (2).jpg", "a (2) (2).jpg", "a (3).jpg"]


def test_the_looks_kept_are_bounded_and_the_oldest_goes_first(monkeypatch, detector, forward_calls):
    monkeypatch.setattr(look, "KEPT_LOOKS", 2)
    made = [
        pictures.Picture(color, encode(Image.new("RGB", (64, 48), color), "PNG")) for color in ("red", "green", "blue")
    ]
    kept = OrderedDict()
    for index in (0, 1, 0, 2, 0, 1):  # the last one was dropped in favor of 2
        look.look(made[index], detector, kept)
        assert len(kept) <= 2
    assert len(forward_calls) == 4


def test_a_file_that_cannot_be_read_is_tried_once(monkeypatch, detector, bad_files):
    read, calls = GridDetector.read, []
    monkeypatch.setattr(
        GridDetector, "read", lambda self, *args, **named: calls.append(named) or read(self, *args, **named)
    )
    kept, (content, reason) = OrderedDict(), bad_files["half.jpg"]
    for name in ("half.jpg", "half.jpg", "other.jpg"):
        with pytest.raises(ImageError, match=rf"^{name}: .*{reason}"):
            look.look(pictures.Picture(name, content), detector, kept)
    assert len(calls) == 1


def test_a_look_holds_a_picture_no_larger_than_the_screen(detector):
    wide = encode(Image.fromarray(np.tile(data.coffee(), (4, 5, 1))), "JPEG")  # 3000 x 1600
    seen = look.look(pictures.Picture("wide.jpg", wide), detector, OrderedDict())
    assert max(seen.view.pixels.shape) == look.VIEW_SIZE
    assert (seen.view.width, seen.view.height) == (3000, 1600)
    detections, _ = look.find(seen, detector, DetectOptions())
    assert detections.to_dict() == detector(wide).to_dict()


def test_importing_the_page_changes_nothing_elsewhere():
    command = (
        "from starlette.formparsers import MultiPartParser as parser; before = dict(vars(parser)); "
        "import vision_app.ui.app; print(dict(vars(parser)) == before)"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"


@pytest.mark.usefixtures("page")  # drawing the page sets how much stays in memory
def test_an_upload_stays_in_memory_while_it_arrives():
    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
        for _ in range(20):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    form = asyncio.run(MultiPartParser(headers, body()).parse())
    assert form["f"].size == 20 * 2**20
    assert not form["f"].file._rolled


def test_a_picture_too_wide_for_a_jpeg_leaves_the_rest_of_the_zip_whole():
    detector = Detector.load("yolo")
    pixels = np.zeros((2, 66_000, 3), np.uint8), data.chelsea()
    wide, cat = (encode(Image.fromarray(each), "PNG") for each in pixels)
    files = [pictures.Picture("wide.png", wide), pictures.Picture("cat.png", cat)]
    content = downloads.archive([(file, detector(file.data)) for file in files], detector.name)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "images/cat.png.jpg" in archive.namelist() and "images/wide.png.jpg" not in archive.namelist()
        rows = [json.loads(line) for line in archive.read("detections.jsonl").splitlines()]
    assert [(row["file"], row["status"]) for row in rows] == [("wide.png", "ok"), ("cat.png", "ok")]
