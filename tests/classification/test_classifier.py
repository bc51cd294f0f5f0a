"""`Classifier` on tiny networks: the textbook's answer, batches, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tiny_classifiers import SIZE, write_tiny
from tiny_detectors import ANCHORS
from tiny_detectors import write_tiny as write_tiny_detector

from vision_app import Classes, Classifier, read_image
from vision_app.core.errors import ImageError, ModelError
from vision_app.detection.grid import make_grid
from vision_app.detection.grid_detector import GridOutput

pytestmark = pytest.mark.slow

IMAGES = (data.chelsea, data.rocket, data.coffee)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def classifier(folder) -> Classifier:
    return Classifier.load(folder, threads=1)


def test_the_answer_is_sorted_and_its_box_is_that_of_the_row_that_won(classifier):
    image = read_image(data.rocket())  # 640 x 427, letterboxed to 96 x 64
    inputs = classifier.preprocess([image])
    output = np.float32([7, 0.6, 0.3, -0.2, 0.4, -1, 2, 0.5])
    (found,) = classifier.postprocess([GridOutput(output, inputs.pixels[0].shape[:2], inputs.letterboxes[0])])
    assert found.labels == ("cup", "dining table", "cat")
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp([-2, -0.5, 1])), rtol=1e-6)
    column, row, (width, height) = 3, 0, ANCHORS[0][1]  # row 7 of the grid: two anchors a cell, stride 8
    b_x, b_y, b_w, b_h = 8 * (column + 0.6), 8 * (row + 0.3), width * np.exp(0.4), height * np.exp(-0.2)
    scale = 640 / SIZE
    expected = np.array([b_x - b_w / 2, b_y - b_h / 2, b_x + b_w / 2, b_y + b_h / 2]) * scale
    stretched = inputs.letterboxes[0]
    expected[1::2] *= scale**-1 / stretched.scale_y
    np.testing.assert_allclose(found.box, expected.clip(0, [640, 427, 640, 427]), rtol=1e-4)
    assert make_grid(*inputs.pixels[0].shape[:2], (8, 16, 32), ANCHORS).strides[7] == 8


def test_there_is_no_box_where_no_class_is_as_probable_as_not(classifier):
    inputs = classifier.preprocess([read_image(data.rocket())])
    for logit, located in ((-0.01, False), (0.01, True)):
        output = np.float32([0, 0, 0, 0, 0, -3, logit, -2])
        (found,) = classifier.postprocess([GridOutput(output, inputs.pixels[0].shape[:2], inputs.letterboxes[0])])
        assert (found.box is not None) == located == bool(len(found.best))


def test_one_image_is_taken_as_a_list_of_one_is(classifier):
    image = classifier.read(data.rocket())
    assert classifier.predict(image)[0].to_dict() == classifier.predict([image])[0].to_dict()


def test_an_image_gets_the_same_answer_alone_and_in_a_batch(classifier):
    images = [classifier.read(image()) for image in IMAGES]
    together = classifier.predict(images)
    joined = classifier.postprocess(classifier.forward(classifier.join([classifier.preprocess([i]) for i in images])))
    for image, one, other in zip(IMAGES, together, joined, strict=True):
        alone = classifier(image()).to_dict(localize=True)
        assert one.to_dict(localize=True) == other.to_dict(localize=True) == alone
    assert len({one.probabilities.tobytes() for one in together}) == len(IMAGES)  # not one constant


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_the_size_of_the_batches_changes_no_digit(folder, runtime):
    """In a batch, the last digit of the released model's probabilities would differ in one image of a hundred."""
    classifier = Classifier.load(folder, runtime=runtime, device="cpu", threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 6, 8, 3), np.uint8)
    inputs = [classifier.preprocess([read_image(image.repeat(12, 0).repeat(12, 1))]) for image in pixels]
    alone = [classifier.forward(one)[0].values for one in inputs]
    assert len({values.tobytes() for values in alone}) == len(inputs)
    for size in (2, 3, 8):
        parts = [classifier.join(inputs[start : start + size]) for start in range(0, len(inputs), size)]
        together = [output.values for part in parts for output in classifier.forward(part)]
        np.testing.assert_array_equal(together, alone)


def test_images_of_one_shape_go_through_a_gpu_together(folder, classifier):
    calls = []

    class OnGPU:
        runtime, device = "torch", "cuda"

        def __call__(self, pixels, stages=None):
            calls.append(pixels.shape)
            return classifier.network(pixels, stages)

    images = [read_image(np.zeros((height, 96, 3), np.uint8)) for height in (96, 32, 96, 96)]
    there = Classifier(classifier.model, OnGPU())
    outputs = there.forward(there.preprocess(images))
    assert calls == [(3, 96, 96, 3), (1, 64, 96, 3)]
    assert [output.shape for output in outputs] == [(96, 96), (64, 96), (96, 96), (96, 96)]


def test_every_kind_of_source_gets_the_same_answer(classifier, tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    answers = [classifier(source).to_dict() for source in (path, path.read_bytes(), data.chelsea(), read_image(path))]
    assert all(answer == answers[0] for answer in answers)
    with pytest.raises(ImageError, match="no such file"):
        classifier(tmp_path / "none.png")


def test_the_digest_changes_with_the_weights_alone(folder, classifier, tmp_path):
    assert Classifier.load(write_tiny(tmp_path / "again" / "tiny")).digest == classifier.digest
    assert Classifier.load(write_tiny(tmp_path / "other" / "tiny", seed=1)).digest != classifier.digest


def test_what_is_no_classifier_is_refused(folder, without_onnx, tmp_path):
    detector = write_tiny_detector(tmp_path / "detector")
    with pytest.raises(ModelError, match="is for detection, not for classification"):
        Classifier.load(detector)
    info = json.loads((folder / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(info | {"defaults": {}}))
    for name in info["files"]:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="has no usable 'defaults"):
        Classifier.load(tmp_path)


def test_classes_are_checked_and_told_in_plain_values():
    found = Classes(("cup", "cat"), [0.98765, 0.2], 40, 30, "tiny", [1, 2.345, 30, 20])
    row = {"width": 40, "height": 30, "model": "tiny"}
    both = [{"label": "cup", "probability": 0.9876}, {"label": "cat", "probability": 0.2}]
    assert found.to_dict() == row | {"classes": both}
    assert found.to_dict(top=1, localize=True) == row | {"classes": both[:1], "box": [1.0, 2.35, 30.0, 20.0]}
    assert found.best.to_dict()["detections"] == [{"label": "cup", "score": 0.9876, "box": [1.0, 2.35, 30.0, 20.0]}]
    without = Classes(("cup",), [0.2], 40, 30, "tiny")
    assert len(without.best) == 0 and without.to_dict(localize=True)["box"] is None
    for labels, probabilities, box, message in (
        (("a",), [1.2], None, "from 0 to 1"),
        (("a", "b"), [0.2, 0.3], None, "the highest first"),
        (("a", "b"), [0.2], None, "probabilities: expected 2"),
        (("a",), [0.2], [1, 2, 3], "box: expected 4"),
    ):
        with pytest.raises(ValueError, match=message):
            Classes(labels, probabilities, 40, 30, "tiny", box)
