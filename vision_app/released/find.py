"""Released models: where they are, what they say of themselves, and that their files are those released.

A model is a folder, or one ONNX file that was exported from such a folder.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vision_app.core.errors import ModelError, UsageError, unknown
from vision_app.core.files import atomic_write, parse_json, read_bytes, read_text, refuse_existing
from vision_app.core.flags import flag
from vision_app.core.limits import MAX_SETTINGS_BYTES
from vision_app.released.onnx_file import NETWORK, check_network, pack, unpack
from vision_app.released.schema import lookup, unusable_key

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Model:
    """A folder with `model.json`, the files that it lists, and `CARD.md`; or one file, see `onnx_file`.

    Attributes:
        name: Its folder's name, or the path that it was asked for by.
        folder: Where it is; the path of the ONNX file if it is one.
        info: The content of `model.json`.
    """

    name: str
    folder: Path
    info: dict[str, Any]

    @property
    def task(self) -> str:
        """What the model does, such as "detection"."""
        return str(self.info["task"])

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's output."""
        return tuple(self.info["classes"])

    @property
    def defaults(self) -> dict[str, Any]:
        """Options with which the model was measured to do best."""
        return dict(self.info["defaults"])

    @cached_property
    def is_file(self) -> bool:
        """Whether the model is one ONNX file, which carries `model.json` in its metadata."""
        return self.folder.is_file()

    def value(self, key: str, kind: type) -> Any:
        """Return the value of a key of model.json, such as "input.size".

        Raises:
            ModelError: There is no value of this kind.
        """
        found = lookup(self.info, key)
        if not isinstance(found, kind):
            raise self.lacks(key)
        return found

    def lacks(self, key: str, cause: Exception | None = None) -> ModelError:
        """Return the error that says that a key of model.json cannot be used, and why where something tells."""
        source = self.folder if self.is_file else self.folder / "model.json"
        reason = f" ({type(cause).__name__}: {cause})" if cause else ""
        return ModelError(f"{source}: has no usable '{key}'{reason}".partition("\n")[0])

    def has(self, name: str) -> bool:
        """Return whether the model lists a file."""
        return name in self.info["files"]

    def file(self, name: str) -> Path:
        """Return the path of one of the model's files, after its digest was checked.

        Raises:
            ModelError: The model has no such file, or it is missing or not the one released, or an ONNX file that has
                weights elsewhere or not finite.
        """
        if not self.has(name):
            raise ModelError(f"model '{self.name}' has no {name}")
        path, entry = self.folder if self.is_file else self.folder / name, self.info["files"][name]
        try:
            content = read_bytes(path)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error
        whole = content
        if self.is_file:  # the network, without the metadata that the digest is a part of
            content = content[: entry.get("bytes")]
        if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
            raise ModelError(f"{path}: damaged or changed, its digest is not the one in model.json")
        if name.endswith(".onnx"):
            try:
                check_network(whole)
            except ValueError as error:
                raise ModelError(f"{path}: {error}") from error
        return path

    def verify(self) -> None:
        """Check the digest of every file; raises ModelError as `file` does."""
        for name in self.info["files"]:
            self.file(name)


def models_folders() -> list[Path]:
    """Return where released models are searched, in order: $VISION_APP_MODELS, the installed package, the checkout.

    Raises:
        ModelError: $VISION_APP_MODELS is not a folder.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = [package / "_models", package.parent / "models"]
    if named := os.environ.get("VISION_APP_MODELS"):
        if not Path(named).is_dir():
            raise ModelError(f"VISION_APP_MODELS={named}: there is no such folder")
        candidates.insert(0, Path(named))
    return [folder for folder in candidates if folder.is_dir()]


def available() -> list[str]:
    """Return the names of the released models."""
    return sorted({path.parent.name for folder in models_folders() for path in folder.glob("*/model.json")})


def model_name(model: object) -> str:
    """Return what the user called a model, as text.

    Raises:
        ModelError: It is neither text nor a path.
    """
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    if not isinstance(model, str):
        raise ModelError(f"model {model!r}: must be the name of a released model, or the path of one")
    return model


def find(
    name: str | os.PathLike[str], task: str | None = None, suits: Callable[[Model], bool] = lambda model: True
) -> Model:
    """Find a released model by its name, or any model folder or exported ONNX file by its path; names come first.

    Args:
        name: Name or path.
        task: That it must be for, if given.
        suits: Whether a model may be suggested instead of an unknown one, beside its task.

    Raises:
        ModelError: There is no such model, it is for another task, or its model.json cannot be used.
    """
    try:
        model = _find(name, task, suits)
    except OSError as error:  # too long a name, or a folder that must not be read
        raise ModelError(f"model {model_name(name)!r}: {error.strerror}") from error
    if task not in (None, model.task):
        raise ModelError(f"model '{model.name}' is for {model.task}, not for {task}")
    return model


def _find(name: str | os.PathLike[str], task: str | None, suits: Callable[[Model], bool]) -> Model:
    """Return a model, whatever its task is; models for `task` are suggested instead of an unknown one."""
    name = model_name(name)
    if name.endswith(".onnx") and not Path(name).is_dir():
        return _open(Path(name).stem, Path(name))
    homes = [] if os.sep in name else models_folders()
    for folder in (*(home / name for home in homes), Path(name)):
        if name and (folder / "model.json").is_file():
            return _open(name, folder)
    best = Path(name, "best")
    if (best / "model.json").is_file():
        raise ModelError(f"{name}: the folder of a run, not of a model; its model is {best}")
    if os.sep in name:
        raise ModelError(f"{name}: not a model folder, it has no model.json")
    raise ModelError(unknown("model", name, [name for name in available() if task is None or _does(name, task, suits)]))


def _does(name: str, task: str, suits: Callable[[Model], bool]) -> bool:
    """Return whether a released model is for a task and suits; one that cannot be opened does not."""
    try:
        model = find(name)
        return model.task == task and suits(model)
    except ModelError:
        return False


def digest(*models: Model) -> str:
    """Return a digest of everything that decides the results of models: weights, classes and preprocessing."""
    essence = [{key: model.info[key] for key in ("files", "classes", "architecture", "input")} for model in models]
    return hashlib.sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest()


def write_file(model: Model, path: Path, overwrite: bool = False) -> None:
    """Write a model folder as one ONNX file that `find` opens: its network, `model.json` and license.

    Raises:
        ModelError: The model's `model.onnx` is damaged.
        UsageError: The model is not one ONNX network, there is such a file already, or it cannot be written.
    """
    if path.suffix != ".onnx":
        raise UsageError(f"{flag('output')} {path}: must end in .onnx; the nearest valid value is {path}.onnx")
    refuse_existing([path], overwrite, [model.folder, *(model.folder / name for name in model.info["files"])])
    if not path.parent.is_dir():
        raise UsageError(f"{flag('output')} {path}: there is no folder {path.parent}; make it first")
    if model.is_file:
        raise UsageError(f"{model.folder}: is an exported file already; copy it")
    if more := [name for name in model.info["files"] if name.endswith(".onnx") and name != NETWORK]:
        raise UsageError(f"{model.name}: needs {', '.join(more)} beside its network, which one file cannot contain")
    if not model.has(NETWORK):
        advice = f"copy its folder {model.folder} and give that to {flag('model')}"
        raise UsageError(f"{model.name}: runs on torch only, not as one ONNX file; {advice}")
    network, license = model.file(NETWORK), model.folder / "LICENSE"
    texts = {"LICENSE": license.read_text(encoding="utf-8")} if license.is_file() else {}
    content = pack(network.read_bytes(), model.info, **texts)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{flag('output')} {path}: cannot be written ({error.strerror})") from error


def _open(name: str, path: Path) -> Model:
    """Open a model folder, or an exported file."""
    try:
        if path.is_dir():
            info = parse_json(read_text(path / "model.json", MAX_SETTINGS_BYTES))
        else:
            info = unpack(read_bytes(path))
    except (OSError, ValueError) as error:
        if path.is_dir():
            raise ModelError(f"{path / 'model.json'}: cannot be read ({error})") from error
        raise ModelError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    model = Model(name, path, info)
    if key := unusable_key(info):
        raise model.lacks(key)
    return model
