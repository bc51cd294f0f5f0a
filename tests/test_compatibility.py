"""What version 0.1 wrote works as before. The files in `data/v0.1` were made with it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_people import paint, painted_recognizer
from PIL import Image
from skimage import data as skimage_data
from tiny_task import CONFIG
from tiny_task import run as train_tiny

from vision_app import Gallery
from vision_app.cli import main
from vision_app.core.errors import UsageError
from vision_app.training.runs import read_metrics

pytestmark = pytest.mark.slow

V01 = Path(__file__).parent / "data" / "v0.1"


@pytest.fixture
def old_gallery(tmp_path):
    """A gallery of painted people that version 0.1 made: Ada with two photos, Zoë with one, and Eve, forgotten."""
    shutil.unpack_archive(V01 / "gallery.zip", tmp_path)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    return tmp_path / "people.db"


def test_an_old_gallery_identifies_exports_and_forgets(old_gallery, tmp_path):
    with Gallery.open(old_gallery, readonly=True, recognizer=painted_recognizer()) as gallery:
        before = gallery.store.revision
        answer = gallery.identify(paint((1, 8), (9, 1), (2, 8)))
        assert [face.name for face in answer.faces] == ["Ada", None, "Zo\u00eb"]
    with Gallery.open(old_gallery, recognizer=painted_recognizer()) as gallery:
        assert gallery.check() == [] and gallery.store.revision == before
        assert [(one.name, one.photos, one.consent) for one in gallery.people()] == [
            ("Ada", 2, "signed in May"), ("Zo\u00eb", 1, "")
        ]  # fmt: skip
        assert gallery.verify(paint((1, 8)), "Ada").verdict == "same"
        gallery.export(tmp_path / "new.jsonl")
        assert (tmp_path / "new.jsonl").read_bytes() == (tmp_path / "export.jsonl").read_bytes()
        ada = gallery.samples("Ada")[0].source
        assert gallery.enroll("Ada", [paint((1, 5))])[0].code == "accepted"
        done = gallery.forget("Ada")
        assert done.photos == 3 and ada not in old_gallery.read_bytes()
        assert [person.name for person in gallery.people()] == ["Zo\u00eb"] and gallery.check() == []


def test_an_old_export_is_imported_and_gets_embeddings_of_another_model(old_gallery, tmp_path):
    with Gallery.open(tmp_path / "new.db", recognizer=painted_recognizer()) as gallery:
        assert {answer.code for answer in gallery.import_file(tmp_path / "export.jsonl")} == {"accepted"}
        assert gallery.identify(paint((2, 8))).faces[0].name == "Zo\u00eb"
    with Gallery.open(old_gallery, recognizer=painted_recognizer("second")) as gallery:
        assert gallery.reembed() == 3 and gallery.store.model_ids == ["second"]
        assert gallery.identify(paint((2, 8))).faces[0].name == "Zo\u00eb" and gallery.check() == []


def photos_of(folder):
    """Write the photos on which version 0.1 ran."""
    folder.mkdir()
    for number, (name, step) in enumerate(
        [("astronaut", 2), ("chelsea", 2), ("coffee", 2), ("rocket", 2), ("astronaut", -2), ("chelsea", -2)]
    ):
        pixels = getattr(skimage_data, name)()[::step, ::step]
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{number}.png")


DETECT = ["detect", "photos", "--batch-size", "2", "--confidence", "0.05", "--classes", "person,cat", "--device", "cpu"]
STYLE = [
    *("style", "photos/0.png", "--style", "sample:mosaic", "--style", "sample:dots", "--mix", "--weights", "0.7,0.3"),
    *("--size", "64", "--keep-colors", "luminance", "--device", "cpu"),
]


def test_an_old_detection_run_is_resumed(tmp_path, monkeypatch):
    """Its last batch was cut; the rows before stay, and the others are those of a run from the start."""
    monkeypatch.chdir(tmp_path)
    photos_of(tmp_path / "photos")
    before = (V01 / "runs" / "detections.jsonl").read_bytes()
    (tmp_path / "old").mkdir()
    for name in ("detections.jsonl", "detections.settings.json"):
        shutil.copy(V01 / "runs" / name, tmp_path / "old")
    assert main([*DETECT, "--output", "old", "--resume"]) == 0
    assert main([*DETECT, "--output", "new"]) == 0
    old, new = ((tmp_path / run / "detections.jsonl").read_bytes().splitlines(True) for run in ("old", "new"))
    assert old[:4] == before.splitlines(True)[:4] and old[4:] == new[4:] and len(new) == 6
    for mine, theirs in zip(map(json.loads, old), map(json.loads, new), strict=True):
        labels = [[found["label"] for found in row["detections"]] for row in (mine, theirs)]
        assert mine["file"] == theirs["file"] and labels[0] == labels[1]


@pytest.mark.parametrize(
    ("words", "written", "settings"),
    [
        (DETECT, "", "detections"),
        (["classify", "photos/0.png", "--top", "3", "--localize", "--device", "cpu"], "", "classes"),
        (STYLE, "", "styles"),
    ],
)
def test_settings_of_runs_are_written_as_before(tmp_path, monkeypatch, words, written, settings):
    """Byte for byte, or no old run could be resumed."""
    monkeypatch.chdir(tmp_path)
    photos_of(tmp_path / "photos")
    assert main([*words, "--output", str(Path("out") / written)]) == 0
    (found,) = (tmp_path / "out").glob("*.settings.json")
    assert found.read_bytes() == (V01 / "runs" / f"{settings}.settings.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "written", "settings"),
    [
        (["faces", "detect", "photos/0.png", "--images", "--device", "cpu"], "", "faces-detect"),
        (["faces", "embed", "photos/0.png", "--device", "cpu"], "faces.npz", "embeddings"),
    ],
)
def test_settings_of_runs_on_faces_differ_by_the_models_that_were_added_since(
    tmp_path, monkeypatch, words, written, settings
):
    """Faces had other landmarks before `face-landmarks`: such a run is not resumed."""
    monkeypatch.chdir(tmp_path)
    photos_of(tmp_path / "photos")
    assert main([*words, "--output", str(Path("out") / written)]) == 0
    (found,) = (tmp_path / "out").glob("*.settings.json")
    new, old = (json.loads(path.read_text()) for path in (found, V01 / "runs" / f"{settings}.settings.json"))
    assert list(new) == list(old) and [key for key in old if new[key] != old[key]] == ["--detector"]


@pytest.mark.parametrize("given", ["--config", "--resume"])
@pytest.mark.parametrize(
    ("command", "trainer", "expected"),
    [
        (
            "yolo",
            "vision_app.detection.train.trainer",
            {"ema_decay": 0.9, "min_lr_ratio": 0.2, "epochs": 3, "clip": 1e-3, "multi_scale": False, "device": "cpu"},
        ),
        (
            "faces",
            "vision_app.faces.train.trainer",
            {"ema_decay": 0.995, "min_lr_ratio": 0.01, "freeze_blocks": 7, "people": 6, "learning_rate": 2e-3},
        ),
    ],
)
def test_options_of_an_old_training_are_read(tmp_path, monkeypatch, given, command, trainer, expected):
    seen = {}

    def train_instead(data, validation, output, config, options, **more):
        seen.update(vars(config) | vars(options))

    monkeypatch.setattr(f"{trainer}.train", train_instead)
    monkeypatch.chdir(tmp_path)
    for name in ("data.d", "run"):
        (tmp_path / name).mkdir()
    shutil.copy(V01 / "runs" / command / "options.yaml", tmp_path / "run")
    words = ["--resume"] if given == "--resume" else ["--config", "run/options.yaml"]
    assert main(["train", command, "--output", "run", *words]) == 0
    assert expected.items() <= seen.items()


@pytest.fixture
def old_run(tmp_path):
    """A run of the tiny task that version 0.1 began, and that Ctrl-C interrupted in the third of four epochs."""
    shutil.unpack_archive(V01 / "run.zip", tmp_path / "run")
    return tmp_path / "run"


def test_an_old_run_is_resumed_under_the_new_names_of_its_settings(old_run, tmp_path):
    before = json.loads((old_run / "config.json").read_text())
    assert (before["average"], before["final"], before["held"]) == (0.9, 0.1, 1)
    config = replace(CONFIG, ema_decay=0.9, min_lr_ratio=0.1, device="cpu")
    inputs, lines = {"data": "photos 0123456789ab", "freeze_blocks": 1}, []
    with pytest.raises(UsageError, match=r"^ema_decay 0\.8: the run to resume was started with 0\.9"):
        train_tiny(old_run, config=replace(config, ema_decay=0.8), inputs=inputs, resume=True)
    best, weights = train_tiny(old_run, config=config, inputs=inputs, resume=True, log=lines.append)
    assert lines[0] == "resuming after epoch 2 of 4, step 2"
    assert json.loads((old_run / "config.json").read_text())["ema_decay"] == 0.9
    whole_best, whole = train_tiny(tmp_path / "whole", config=config, inputs=inputs)
    assert best == whole_best
    assert [row["epoch"] for row in read_metrics(old_run)] == ["1", "2", "3", "4"]
    for name, tensor in whole.items():  # to rounding, which is that of the machine on which the run began
        torch.testing.assert_close(weights[name], tensor, rtol=0.01, atol=0.001)
