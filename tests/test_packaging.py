"""The wheel that a user installs: complete, with the released models inside, and nothing else."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import vision_app
from vision_app.style.samples.samples import SAMPLES

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parent.parent
MODELS = {path.parent.name: json.loads(path.read_text()) for path in (CHECKOUT / "models").glob("*/model.json")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the checkout with a stray file beside a model."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    (source / "README.md").write_text("# Vision App\n")
    shutil.copytree(CHECKOUT / "vision_app", source / "vision_app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "models", source / "models")
    (source / "models" / "yolo" / "notes.txt").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", source / "dist", source], check=True)
    (path,) = (source / "dist").glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_the_models(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "vision_app").rglob("*.py")}
    modules.add("vision_app/py.typed")
    models = {
        f"vision_app/_models/{model}/{name}"
        for model, info in MODELS.items()
        for name in ("model.json", "CARD.md", "LICENSE", *info["files"])
    }
    assert names >= modules | models
    data = names - modules - models  # icons and samples
    assert all(name.startswith(("vision_app/ui/", "vision_app/style/samples/")) for name in data)
    assert data >= {f"vision_app/style/samples/{name}.webp" for name in SAMPLES}


def test_the_wheel_describes_itself(wheel):
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("vision-app", vision_app.__version__)
    assert metadata["License-Expression"] == "MIT"
    assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert "vision-app = vision_app.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()


def test_an_installed_package_finds_its_models_from_anywhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "models" / "decoy").mkdir(parents=True)  # never look into the working directory
    (tmp_path / "models" / "decoy" / "model.json").write_text('{"name": "decoy"}')
    Image.new("RGB", (64, 48), (200, 40, 10)).save(tmp_path / "photo.png")
    environment = {key: value for key, value in os.environ.items() if key != "VISION_APP_MODELS"}
    command = (
        "import vision_app; from vision_app.released.find import available, find; print(vision_app.__file__)\n"
        "print(*available()); [find(name).verify() for name in available()]\n"
        "photo = vision_app.read_image(sys.argv[1])\n"
        "print(vision_app.Stylizer.load('fast')(photo, 'sample:waves').pixels.shape)"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {command}", tmp_path / "photo.png"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    shape = "(48, 64, 3)"
    package = tmp_path / "installed" / "vision_app" / "__init__.py"
    assert result.stdout.splitlines() == [str(package), " ".join(sorted(MODELS)), shape]


def test_requirements_are_pinned_and_cover_the_package():
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (CHECKOUT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                package, version = line.split("==")
                pins[package] = version
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    ranges = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, ranges):
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_what_the_package_imports_is_required_and_nothing_else():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (CHECKOUT / "vision_app").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    owners = packages_distributions()  # a module may come with several packages
    imported = [set(map(canonicalize_name, owners.get(module.split(".")[0], []))) for module in modules]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ranges = [*project["dependencies"], *extras["heic"], *extras["webcam"]]
    required = {Requirement(each).name for each in ranges}
    through_torch = {"onnx", "tensorboard"}  # torch writes ONNX files and TensorBoard logs with them
    assert all(packages & (required | {"vision-app"}) for packages in imported if packages)
    assert required - through_torch <= set().union(*imported)


@pytest.mark.parametrize("has_venv", [True, False])
def test_the_check_installs_only_what_is_missing(tmp_path, has_venv):
    """`.ci/run` with stand-ins for the system's commands, which write down how they were called."""
    calls = tmp_path / "calls"
    for name in ("apt-get", "chromium", "make", "python3"):
        fails = name == "python3" and not has_venv
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\nexit {int(fails)}\n')
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([CHECKOUT / ".ci" / "run"], env=environment, check=True)
    installed = [call.split() for call in calls.read_text().splitlines() if call.startswith("apt-get install")]
    assert ["python3-venv" in call for call in installed] == ([] if has_venv else [True])
    assert not any("chromium" in call for call in installed)
    assert calls.read_text().splitlines()[-2:] == ["make lint", "make test"]
