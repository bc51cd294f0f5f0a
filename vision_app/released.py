"""The released models: where they lie, what they say of themselves, and that their files are the ones released."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vision_app.errors import ModelError, unknown

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
        return ModelError(f"{self.folder / 'model.json'}: has no usable '{key}'")

    def has(self, name: str) -> bool:
        return name in self.info["files"]

    def file(self, name: str) -> Path:
        """The path of one of the model's files, after its digest was checked.

        Raises:
            ModelError: the model has no such file, or it is missing or not the one released.
        """
        if not self.has(name):
            raise ModelError(f"model '{self.name}' has no {name}")
        path = self.folder / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error
        if digest != self.info["files"][name].get("sha256"):
            raise ModelError(f"{path}: damaged or changed, its digest is not the one in model.json")
        return path

    def verify(self) -> None:
        """Checks the digest of every file; raises ModelError as `file` does."""
        for name in self.info["files"]:
            self.file(name)


def models_folders() -> list[Path]:
    """Where released models are looked for, in order: $VISION_APP_MODELS, the installed package, the checkout.

    Raises:
        ModelError: $VISION_APP_MODELS names no folder.
    """
    package = Path(__file__).resolve().parent
    candidates = [package / "_models", package.parent / "models"]
    if named := os.environ.get("VISION_APP_MODELS"):
        if not Path(named).is_dir():
            raise ModelError(f"VISION_APP_MODELS={named}: there is no such folder")
        candidates.insert(0, Path(named))
    return [folder for folder in candidates if folder.is_dir()]


def available() -> list[str]:
    """Names of the released models."""
    return sorted({path.parent.name for folder in models_folders() for path in folder.glob("*/model.json")})


def find(name: str | os.PathLike) -> Model:
    """A released model by its name, or any model folder by its path.

    Raises:
        ModelError: there is no such model, or its model.json cannot be used.
    """
    name = os.fspath(name)
    if os.sep in name:
        if (Path(name) / "model.json").is_file():
            return _open(name, Path(name))
        raise ModelError(f"{name}: not a model folder, it has no model.json")
    for folder in models_folders():
        if (folder / name / "model.json").is_file():
            return _open(name, folder / name)
    hint = f" (for the folder here, write .{os.sep}{name})" if (Path(name) / "model.json").is_file() else ""
    raise ModelError(unknown("model", name, available()) + hint)


def _open(name: str, folder: Path) -> Model:
    try:
        info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'model.json'}: cannot be read ({error})") from error
    model = Model(name, folder, info)
    for key, kind in _KEYS.items():
        model.value(key, kind)
    if not all(isinstance(entry, dict) for entry in info["files"].values()):
        raise model.lacks("files")
    return model
