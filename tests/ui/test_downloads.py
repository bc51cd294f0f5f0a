"""Downloads of the Detect page."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from image_files import encode
from PIL import Image
from skimage import data

from vision_app import Detector, draw, read_image
from vision_app.cli import main
from vision_app.core.errors import ImageError
from vision_app.ui import downloads
from vision_app.ui.images import ImageFile


def answer(image: ImageFile, detector: Detector) -> downloads.Answer:
    try:
        return image, detector(image.data)
    except ImageError as error:
        return image, error


def test_the_downloads_are_what_the_command_writes(tmp_path, monkeypatch, detector, bad_files):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.coffee()).save("coffee.png")
    Image.fromarray(data.chelsea()).save("Kätzchen.png")
    for name, (content, _) in bad_files.items():
        Path(name).write_bytes(content)
    names = ["coffee.png", *bad_files, "Kätzchen.png"]
    assert main(["detect", *names, "--output", "out", "--csv", "--images"]) == 1
    answers = [answer(ImageFile(name, Path(name).read_bytes()), detector) for name in names]
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


def test_an_image_too_wide_for_a_jpeg_leaves_the_rest_of_the_zip_intact(detector):
    pixels = np.zeros((2, 66_000, 3), np.uint8), data.chelsea()
    wide, cat = (encode(Image.fromarray(each), "PNG") for each in pixels)
    files = [ImageFile("wide.png", wide), ImageFile("cat.png", cat)]
    content = downloads.archive([(file, detector(file.data)) for file in files], detector.name)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "images/cat.png.jpg" in archive.namelist() and "images/wide.png.jpg" not in archive.namelist()
        rows = [json.loads(line) for line in archive.read("detections.jsonl").splitlines()]
    assert [(row["file"], row["status"]) for row in rows] == [("wide.png", "ok"), ("cat.png", "ok")]
