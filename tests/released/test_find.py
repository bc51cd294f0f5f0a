"""Model folders: found by name or path, never by accident, and not used when they are not what they say."""

import json
import shutil
import sys

import pytest

from vision_app import Classifier, Detector, FaceDetector, FaceRecognizer, Stylizer
from vision_app.core.errors import ModelError
from vision_app.faces.embedder import Embedder
from vision_app.released.find import available, find, models_folders

INFO = {
    "task": "detection",
    "architecture": {"type": "yolo"},
    "classes": ["cat", "dog"],
    "input": {"size": 64},
    "defaults": {"confidence": 0.3},
    "files": {
        # printf 'some weights' | sha256sum
        "weights.bin": {"sha256": "a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766", "bytes": 12},
    },
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder with no model released yet."""
    monkeypatch.delenv("VISION_APP_MODELS", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    package = tmp_path / "checkout" / "vision_app"
    package.mkdir(parents=True)
    monkeypatch.setattr(sys.modules[find.__module__], "__file__", str(package / "released" / "find.py"))


def make(folder, **changes):
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"some weights")
    (folder / "model.json").write_text(json.dumps(INFO | changes), encoding="utf-8")
    return folder


def error_of(name):
    with pytest.raises(ModelError) as error:
        find(name)
    return str(error.value)


def test_a_model_is_found_by_its_name(tmp_path):
    folder = make(tmp_path / "checkout" / "models" / "yolo")
    model = find("yolo")
    assert (model.name, model.folder, model.task, model.classes) == ("yolo", folder, "detection", ("cat", "dog"))
    assert model.defaults == {"confidence": 0.3} and model.info == INFO
    assert model.has("weights.bin") and not model.has("model.onnx")


def test_the_named_folder_comes_first_then_the_package_then_the_checkout(tmp_path, monkeypatch):
    homes = [tmp_path / "mine", tmp_path / "checkout/vision_app/_models", tmp_path / "checkout/models"]
    monkeypatch.setenv("VISION_APP_MODELS", str(homes[0]))
    for number, home in enumerate(homes):
        make(home / "yolo")
        make(home / f"only {number}")
    assert models_folders() == homes
    assert available() == ["only 0", "only 1", "only 2", "yolo"]
    for home in homes:
        assert find("yolo").folder == home / "yolo"
        shutil.rmtree(home / "yolo")
    assert [find(f"only {number}").folder.parent for number in range(3)] == homes


def test_a_run_folder_is_found_by_its_path(tmp_path):
    folder = make(tmp_path / "here" / "run" / "best")
    for name in ("run/best", "./run/best", str(folder), folder, "run/best/"):
        model = find(name)
        assert model.folder.resolve() == folder and model.name == str(name)


def test_a_folder_here_is_a_model_unless_a_released_one_has_its_name(tmp_path):
    make(tmp_path / "checkout" / "models" / "yolo")
    make(tmp_path / "here" / "yolo", task="trap")
    make(tmp_path / "here" / "mine")
    make(tmp_path / "here" / "models" / "other")
    assert find("yolo").task == "detection"
    assert find("./yolo").task == "trap"
    assert error_of("other") == "unknown model 'other'; choose from yolo"
    assert find("mine").classes == find("./mine").classes == ("cat", "dog")
    assert find("mine").name == "mine"


def test_the_folder_of_a_run_names_its_model(tmp_path):
    make(tmp_path / "here" / "run" / "best")
    for name in ("run", "./run", str(tmp_path / "here" / "run")):
        assert (
            error_of(name) == f"{name}: the folder of a run, not of a model; its model is {type(tmp_path)(name)}/best"
        )


def test_a_slip_gets_the_nearest_name(tmp_path):
    make(tmp_path / "checkout" / "models" / "yolo")
    assert error_of("yollo") == "unknown model 'yollo'; did you mean 'yolo'?"


def test_only_models_of_the_task_are_offered_for_an_unknown_one(tmp_path):
    for name, task in (("classifier", "classification"), ("rcnn", "detection"), ("yolo", "detection")):
        make(tmp_path / "checkout" / "models" / name, task=task)
    (make(tmp_path / "checkout" / "models" / "zero") / "model.json").write_text("broken")
    expected = {"detection": "rcnn, yolo", "classification": "classifier", None: "classifier, rcnn, yolo, zero"}
    for task, names in expected.items():
        with pytest.raises(ModelError, match=f"^unknown model 'xyz'; choose from {names}$"):
            find("xyz", task)
    with pytest.raises(ModelError, match="unknown model 'clasifier'; choose from rcnn, yolo"):
        find("clasifier", "detection")
    with pytest.raises(ModelError, match=r"^model 'classifier' is for classification, not for detection$"):
        find("classifier", "detection")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_of_folders_are_no_models(tmp_path, name):
    make(tmp_path / "checkout" / "models" / "yolo")
    assert error_of(name) == f"unknown model {name!r}; choose from yolo"


def test_without_any_model_none_is_listed_or_suggested(tmp_path):
    assert models_folders() == [] and available() == []
    assert error_of("yolo") == "unknown model 'yolo'"


def test_a_folder_without_a_model_is_named(tmp_path):
    (tmp_path / "here" / "run").mkdir()
    for name in ("./run", "./none"):
        assert error_of(name) == f"{name}: not a model folder, it has no model.json"


def test_a_file_is_given_out_only_with_the_right_digest(tmp_path):
    model = find(str(make(tmp_path / "a")))
    assert model.file("weights.bin") == tmp_path / "a" / "weights.bin"
    model.verify()
    (tmp_path / "a" / "weights.bin").write_bytes(b"some_weights")
    for use in (model.verify, lambda: model.file("weights.bin")):
        with pytest.raises(ModelError, match=r"weights\.bin: damaged or changed, its digest"):
            use()
    (tmp_path / "a" / "weights.bin").unlink()
    for use in (model.verify, lambda: model.file("weights.bin")):
        with pytest.raises(ModelError, match=r"weights\.bin: No such file"):
            use()
    with pytest.raises(ModelError, match=r"model '.*a' has no model\.onnx"):
        model.file("model.onnx")


@pytest.mark.parametrize("entry", [{}, {"sha256": None}, {"sha256": ""}, None, "digest"])
def test_a_file_without_a_digest_is_not_given_out(tmp_path, entry):
    make(tmp_path / "a", files={"weights.bin": entry})
    with pytest.raises(ModelError, match=r"(weights\.bin: damaged)|(model\.json: has no usable 'files')"):
        find(str(tmp_path / "a")).verify()


@pytest.mark.parametrize("key", INFO)
def test_a_missing_key_of_model_json_is_named(tmp_path, key):
    folder = make(tmp_path / "a", **{key: 5})
    assert error_of(folder) == f"{folder / 'model.json'}: has no usable '{key}'"
    (folder / "model.json").write_text(json.dumps({k: v for k, v in INFO.items() if k != key}))
    assert error_of(folder) == f"{folder / 'model.json'}: has no usable '{key}'"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "has no usable 'task'"),
    ],
)
def test_a_damaged_model_file_is_named(tmp_path, content, words):
    folder = make(tmp_path / "a")
    (folder / "model.json").write_bytes(content)
    assert error_of(folder).startswith(f"{folder / 'model.json'}: {words}")


def test_a_models_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("VISION_APP_MODELS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"VISION_APP_MODELS=.*nowhere: there is no such folder"):
        find("yolo")


@pytest.mark.parametrize("model", [None, 3, b"yolo", ["yolo"]])
@pytest.mark.parametrize(
    "load",
    [
        Detector.load,
        Classifier.load,
        FaceDetector.load,
        lambda model: FaceRecognizer.load(detector=model),
        Embedder.load,
        lambda model: Stylizer.load("fast", model=model or 0),  # None is the default there
        lambda model: Stylizer.load("optimize", encoder=model or 0),
    ],
)
def test_what_is_neither_a_name_nor_a_path_is_refused_in_words(load, model):
    with pytest.raises(ModelError, match=r"model .*: must be the name of a released model, or the path of one"):
        load(model)
