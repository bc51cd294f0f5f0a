"""The Python door: its names, and that it opens quickly."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

import vision_app


def run(command):
    return subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'numpy', 'PIL', 'cv2', 'torch', 'onnxruntime', 'streamlit', 'typer'}"
    assert run(f"import sys, vision_app; print(*{heavy} & set(sys.modules))") == []


def test_every_name_loads_without_torch():
    command = "import sys, vision_app; print(*[getattr(vision_app, name).__name__ for name in vision_app.__all__])"
    assert run(f"{command}; assert 'torch' not in sys.modules") == vision_app.__all__


def test_names_are_listed_before_they_are_loaded():
    assert run("import vision_app; print(*set(vision_app.__all__) - set(dir(vision_app)))") == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'vision_app' has no attribute 'Detektor'"):
        vision_app.Detektor  # noqa: B018


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Everything that takes an image, and gives values to compare."""
    detector, classifier = vision_app.Detector.load("yolo"), vision_app.Classifier.load()
    recognizer, stylizer = vision_app.FaceRecognizer.load(), vision_app.Stylizer.load("color")

    def enroll(image):
        path = tmp_path_factory.mktemp("gallery") / "people.db"
        with vision_app.Gallery.open(path, recognizer=recognizer) as gallery:
            return [one.code for one in gallery.enroll("Ada", image)], gallery.identify(image).to_dict()

    return {
        "detect": lambda image: detector(image).to_dict(),
        "classify": lambda image: classifier(image).to_dict(),
        "verify": lambda image: recognizer.verify(image, image).to_dict(),
        "stylize": lambda image: stylizer(image, image).pixels.tobytes(),
        "draw": lambda image: vision_app.draw(image, detector(image)).tobytes(),
        "crop": lambda image: vision_app.crop(image, (10, 20, 90, 80)).tobytes(),
        "enroll": enroll,
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["of Pillow", "(H, W, 1)"])
def test_every_function_that_takes_an_image_takes_those_of_pillow_and_gray_ones(calls, kind):
    photo = Image.fromarray(data.astronaut()[:256, 96:352])
    image = photo if kind == "of Pillow" else np.asarray(photo.convert("L"))[..., None]
    expected = np.asarray((photo if kind == "of Pillow" else photo.convert("L")).convert("RGB"))
    for name, call in calls.items():
        assert call(image) == call(expected), name
