"""`vision-app models` and `export`: which released models are installed, and whether their files are intact."""

from pathlib import Path
from typing import Any

from vision_app.cli.commands import group_of_commands
from vision_app.cli.options import Text, positive_int, with_options
from vision_app.cli.terminal import say
from vision_app.core.errors import ModelError
from vision_app.core.text import amount
from vision_app.released.find import Model, available, find, write_file

NAME = Text("NAME", "Released model, or path of a model folder or exported file.", argument=True)
app = group_of_commands("List, describe and verify released models.")


@app.command("list")
def list_models() -> int:
    """List the released models: name, task, number of classes, size. Exit code 1 when one cannot be opened."""
    code = 0
    for name in _names():
        try:
            model = find(name)
        except ModelError as error:
            say(f"{name}: {error}", err=True)
            code = 1
        else:
            classes = f"{len(model.classes):>4} classes" if model.classes else ""
            say(f"{name:<16}{model.task:<16}{classes:<12}  {_size(model):>9}")
    return code


@app.command()
@with_options(name=NAME)
def info(name: str) -> int:
    """Show what a model is: classes, default options, measured accuracy, license."""
    model = find(name)
    about = model.info
    lines = {
        "name": model.name,
        "version": about.get("version"),
        "task": model.task,
        "file" if model.folder.is_file() else "folder": model.folder,
        "size": _size(model),
        "parameters": _plain(about.get("parameters", "")),
        "license": about.get("license"),
        "learned from": "; ".join(map(_plain, about.get("learned_from", []))),
        "defaults": _plain(model.defaults),
        "model id": about.get("contract"),
        "classes": model.classes and f"{len(model.classes)}: {', '.join(model.classes)}",
    }
    lines |= {f"on {data}": _plain(values) for data, values in about.get("measured", {}).items()}
    for key, value in lines.items():
        if value:
            say(f"{key + ':':<14} {value}")
    return 0


@app.command()
@with_options(
    name=NAME,
    size=Text(
        "N", "Side of the input image in pixels.",
        parser=positive_int, show_default="the model's own",
    ),
)  # fmt: skip
def summary(name: str, size: int | None = None) -> int:
    """Show every layer of a model: output size, parameters, multiply-adds, receptive field.

    Sizes are channels x height x width, for one square image. A receptive field of "all" is the whole image. Here,
    fast-rcnn and faster-rcnn process all of their regions as if each were the whole image, and rcnn one region.
    Activations and changes of layout, which cost and change none of this, are left out.
    """
    from vision_app.summary.summarize import summarize_model
    from vision_app.summary.table import format_table

    model = find(name)
    size, layers = summarize_model(model, size)
    say(f"{model.name}: input 3 x {size} x {size}\n\n{format_table(layers)}")
    return 0


@app.command()
@with_options(names=Text("NAME", "Models; all by default.", argument=True))
def verify(names: list[str] | None = None) -> int:
    """Compare every file of the models with the digest in its model.json. Exit code 1 when one is damaged."""
    code = 0
    for name in names or _names():
        try:
            model = find(name)
            model.verify()
        except ModelError as error:
            say(f"{name}: {error}")
            code = 1
        else:
            say(f"{name}: {amount(len(model.info['files']), 'file')} ok")
    return code


@with_options(
    model=Text("MODEL", "Released model, or path of a model folder.", argument=True),
    output=Text("FILE.onnx", "File to write."),
)
def export(model: str, output: Path, overwrite: bool = False) -> int:
    """Export a model as a single ONNX file.

    The file includes model.json, so `--model FILE.onnx` works wherever a model's name does. Other programs find
    classes, input size and anchors in its metadata.

    Exit code: 0 written, 2 wrong usage.
    """
    write_file(find(model), output, overwrite)
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def _names() -> list[str]:
    """Return the names of all released models.

    Raises:
        ModelError: There are none.
    """
    if not (names := available()):
        raise ModelError("no released models found; set VISION_APP_MODELS to the folder that contains them")
    return names


def _size(model: Model) -> str:
    """Return the size of the largest of a model's files, its weights in one format or the other."""
    sizes = [file["bytes"] for file in model.info["files"].values() if isinstance(file.get("bytes"), int)]
    return f"{max(sizes) / 1e6:.1f} MB" if sizes else "? MB"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
