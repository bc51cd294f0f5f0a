"""The released models: where they lie, what they say of themselves, and that their files are the ones released.

A model is a folder, or one ONNX file that was exported from such a folder.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vision_app.core.errors import ModelError, UsageError, unknown
from vision_app.core.files import atomic_write
from vision_app.released import onnx_file

_KEYS = {"task": str, "classes": list, "architecture": dict, "input": dict, "defaults": dict, "files": dict}


@dataclass(frozen=True)
class Model:
    """A model folder: `model.json`, the files that it lists with their digests, `CARD.md`.

    Attributes:
        name: its folder's name, or the path that it was asked for by.
        folder: where it lies.
        info: the content of `model.json`.
    """

    name: str
    folder: Path
    info: dict

    @property
    def task(self) -> str:
        return self.info["task"]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.info["classes"])

    @property
    def defaults(self) -> dict:
        """Options that the model was measured to do best with."""
        return self.info["defaults"]

    def value(self, key: str, kind: type) -> Any:
        """What model.json holds under a key such as "input.size".

        Raises:
            ModelError: it holds nothing of this kind there.
        """
        found = self.info
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, kind):
            raise self.lacks(key)
        return found

    def lacks(self, key: str) -> ModelError:
        """The error that says that model.json cannot be used for its key."""
        return ModelError(f"{self._source}: has no usable '{key}'")

    def has(self, name: str) -> bool:
        return name in self.info["files"]

    def file(self, name: str) -> Path:
        """The path of one of the model's files, after its digest was checked.

        Raises:
            ModelError: the model has no such file, or it is missing or not the one released.
        """
        if not self.has(name):
            raise ModelError(f"model '{self.name}' has no {name}")
        path, entry = self._path(name), self.info["files"][name]
        try:
            content = self._digested(path.read_bytes(), entry)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
            raise ModelError(f"{path}: damaged or changed, its digest is not the one in model.json")
        return path

    def verify(self) -> None:
        """Checks the digest of every file; raises ModelError as `file` does."""
        for name in self.info["files"]:
            self.file(name)

    @property
    def _source(self) -> Path:
        """Where `info` comes from."""
        return self.folder / "model.json"

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _digested(self, content: bytes, entry: dict) -> bytes:
        """The part of a file's content that the digest in its entry is of."""
        return content


class OnnxModel(Model):
    """A model in one ONNX file that carries `model.json`, see `onnx_file`; `folder` is that file."""

    @property
    def _source(self) -> Path:
        return self.folder

    def _path(self, name: str) -> Path:
        return self.folder

    def _digested(self, content: bytes, entry: dict) -> bytes:
        return content[: entry.get("bytes")]  # the network, without the metadata that the digest is a part of


def models_folders() -> list[Path]:
    """Where released models are looked for, in order: $VISION_APP_MODELS, the installed package, the checkout.

    Raises:
        ModelError: $VISION_APP_MODELS names no folder.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = [package / "_models", package.parent / "models"]
    if named := os.environ.get("VISION_APP_MODELS"):
        if not Path(named).is_dir():
            raise ModelError(f"VISION_APP_MODELS={named}: there is no such folder")
        candidates.insert(0, Path(named))
    return [folder for folder in candidates if folder.is_dir()]


def available() -> list[str]:
    """Names of the released models."""
    return sorted({path.parent.name for folder in models_folders() for path in folder.glob("*/model.json")})


def find(name: str | os.PathLike, task: str | None = None) -> Model:
    """A released model by its name, or any model folder or exported ONNX file by its path; names come first.

    Args:
        task: of the models that are offered instead of an unknown one; a model of another task is found all the same.

    Raises:
        ModelError: there is no such model, or its model.json cannot be used.
    """
    name = os.fspath(name)
    if name.endswith(".onnx") and not Path(name).is_dir():
        return _open_file(Path(name))
    homes = [] if os.sep in name else models_folders()
    for folder in (*(home / name for home in homes), Path(name)):
        if name and (folder / "model.json").is_file():
            return _open(name, folder)
    best = Path(name, "best")
    if (best / "model.json").is_file():
        raise ModelError(f"{name}: the folder of a run, not of a model; its model is {best}")
    if os.sep in name:
        raise ModelError(f"{name}: not a model folder, it has no model.json")
    raise ModelError(unknown("model", name, _of(task)))


def _of(task: str | None) -> list[str]:
    """Names of the released models for a task, or of all; one that cannot be opened is for none."""

    def fits(name: str) -> bool:
        try:
            return find(name).task == task
        except ModelError:
            return False

    return [name for name in available() if task is None or fits(name)]


def digest(*models: Model) -> str:
    """Of everything that decides what models answer: other weights, classes or preprocessing have another one."""
    essence = [{key: model.info[key] for key in ("files", "classes", "architecture", "input")} for model in models]
    return hashlib.sha256(json.dumps(essence, sort_keys=True).encode()).hexdigest()


def write_file(model: Model, path: Path) -> None:
    """Writes a model folder as one ONNX file that `find` opens: its network, `model.json` and license.

    Raises:
        ModelError: the model has no `model.onnx`, or it is damaged.
        UsageError: there is such a file already, or it cannot be written.
    """
    if path.suffix != ".onnx":
        raise UsageError(f"--output {path}: must end in .onnx; the nearest valid value is {path}.onnx")
    if os.path.lexists(path):
        raise UsageError(f"--output {path}: is there already and will not be overwritten; choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}; make it first")
    if isinstance(model, OnnxModel):
        raise UsageError(f"{model.folder}: is an exported file already; copy it")
    if more := [name for name in model.info["files"] if name.endswith(".onnx") and name != onnx_file.NETWORK]:
        raise UsageError(f"{model.name}: needs {', '.join(more)} beside its network, which one file cannot hold")
    network, license = model.file(onnx_file.NETWORK), model.folder / "LICENSE"
    texts = {"LICENSE": license.read_text(encoding="utf-8")} if license.is_file() else {}
    content = onnx_file.pack(network.read_bytes(), model.info, **texts)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--output {path}: cannot be written ({error.strerror})") from error


def _open(name: str, folder: Path) -> Model:
    try:
        info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'model.json'}: cannot be read ({error})") from error
    return _checked(Model(name, folder, info))


def _open_file(path: Path) -> Model:
    try:
        info = onnx_file.unpack(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return _checked(OnnxModel(path.stem, path, info))


def _checked(model: Model) -> Model:
    for key, kind in _KEYS.items():
        model.value(key, kind)
    if not all(isinstance(entry, dict) for entry in model.info["files"].values()):
        raise model.lacks("files")
    return model
