"""`vision-app models`: which released models are here, what they are, and whether their files are whole."""

from typing import Annotated

import typer

from vision_app.cli.options import Help, positive_int, show_help

app = typer.Typer(help="List, describe and verify released models.", add_help_option=False)


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command("list")
def list_models() -> int:
    """List the released models: name, task, number of classes if any, size. Exit code 1 when one cannot be opened."""
    listed = [_list(name) for name in _names()]
    return 0 if all(listed) else 1


def _list(name: str) -> bool:
    """Print a model's line, or what is wrong with the model."""
    from vision_app.core.errors import ModelError
    from vision_app.released.find import find

    try:
        model = find(name)
    except ModelError as error:
        typer.echo(f"{name}: {error}", err=True)
        return False
    classes = f"{len(model.classes):>4} classes" if model.classes else ""
    typer.echo(f"{name:<16}{model.task:<16}{classes:<12}  {_size(model):>9}")
    return True


@app.command()
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A released model, or the path of a model folder or exported file.")
    ],
) -> int:
    """Show what a model is: classes, default options, measured accuracy, license."""
    from vision_app.released.find import find

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
        "contract": about.get("contract"),
        "classes": model.classes and f"{len(model.classes)}: {', '.join(model.classes)}",
    }
    lines |= {f"on {data}": _plain(values) for data, values in about.get("measured", {}).items()}
    for key, value in lines.items():
        if value:
            typer.echo(f"{key + ':':<14} {value}")
    return 0


@app.command()
def summary(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A released model, or the path of a model folder or exported file.")
    ],
    size: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=positive_int, help="Side of the picture in pixels.", show_default="the model's own"
        ),
    ] = None,
) -> int:
    """Show every layer of a model: output size, parameters, multiply-adds, receptive field.

    Sizes are channels x height x width, for one square picture. A receptive field of "all" is the whole picture.
    fast-rcnn and faster-rcnn work on all of their regions here, as if each were the whole picture, and rcnn on one.
    Activations and changes of layout, which cost and change none of this, are left out.
    """
    from vision_app.model_summary import format_table, summarize_model
    from vision_app.released.find import find

    model = find(name)
    size, layers = summarize_model(model, size)
    typer.echo(f"{model.name}: input 3 x {size} x {size}\n\n{format_table(layers)}")
    return 0


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Models; all by default.")] = None,
) -> int:
    """Compare every file of the models with the digest in its model.json. Exit code 1 when one is damaged."""
    whole = [_is_whole(name) for name in names or _names()]
    return 0 if all(whole) else 1


def _is_whole(name: str) -> bool:
    """Say whether a model can be opened and its files are the ones released."""
    from vision_app.core.errors import ModelError
    from vision_app.released.find import find

    try:
        model = find(name)
        model.verify()
    except ModelError as error:
        typer.echo(f"{name}: {error}")
        return False
    count = len(model.info["files"])
    typer.echo(f"{name}: {count} file{'s' * (count != 1)} ok")
    return True


def _names() -> list[str]:
    """Return the names of all released models.

    Raises:
        ModelError: There are none.
    """
    from vision_app.core.errors import ModelError
    from vision_app.released.find import available

    if not (names := available()):
        raise ModelError("no released models found; set VISION_APP_MODELS to the folder that holds them")
    return names


def _size(model) -> str:
    """Return the size of the largest of a model's files, its weights in one format or the other."""
    sizes = [file["bytes"] for file in model.info["files"].values() if isinstance(file.get("bytes"), int)]
    return f"{max(sizes) / 1e6:.1f} MB" if sizes else "? MB"


def _plain(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
