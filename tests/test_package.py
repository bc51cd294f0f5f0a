"""The Python door: its names, and that it opens quickly."""

import subprocess
import sys

import pytest

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
