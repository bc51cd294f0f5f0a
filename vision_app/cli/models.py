"""`vision-app models`: which released models are here, what they are, and whether their files are whole."""

from typing import Annotated

import typer

from vision_app.cli.options import Help, show_help

app = typer.Typer(help="List, describe and verify released models.", add_help_option=False)


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command("list")
def list_models() -> int:
    """List the released models: name, task, number of classes, size."""
    from vision_app.released import find

    for model in map(find, _names()):
        typer.echo(f"{model.name:<16}{model.task:<12}{len(model.classes):>4} classes  {_megabytes(model):6.1f} MB")
    return 0


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A released model, or the path of a model folder.")],
) -> int:
    """Show what a model is: classes, default options, measured accuracy, licence."""
    from vision_app.released import find

    model = find(name)
    about = model.info
    lines = {
        "name": model.name,
        "version": about.get("version"),
        "task": model.task,
        "folder": model.folder,
        "size": f"{_megabytes(model):.1f} MB",
        "parameters": f"{about['parameters']:,}" if "parameters" in about else None,
        "licence": about.get("licence"),
        "learned from": "; ".join(map(_plain, about.get("learned_from", []))),
        "defaults": _plain(model.defaults),
        "classes": f"{len(model.classes)}: {', '.join(model.classes)}",
    }
    lines |= {f"on {data}": _plain(values) for data, values in about.get("measured", {}).items()}
    for key, value in lines.items():
        if value:
            typer.echo(f"{key + ':':<14} {value}")
    return 0


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Models; all by default.")] = None,
) -> int:
    """Compare every file of the models with the digest in its model.json. Exit code 1 when one is damaged."""
    from vision_app.released import find

    problems = [_problem(find(name)) for name in names or _names()]
    return 1 if any(problems) else 0


def _problem(model) -> str | None:
    """Say whether the files of a model are whole, and return what is wrong with them, if anything."""
    from vision_app.errors import ModelError

    try:
        model.verify()
    except ModelError as error:
        typer.echo(f"{model.name}: {error}")
        return str(error)
    typer.echo(f"{model.name}: {len(model.info['files'])} files ok")
    return None


def _names() -> list[str]:
    """Return the names of all released models.

    Raises:
        ModelError: There are none.
    """
    from vision_app.errors import ModelError
    from vision_app.released import available

    if not (names := available()):
        raise ModelError("no released models found; set VISION_APP_MODELS to the folder that holds them")
    return names


def _megabytes(model) -> float:
    """Return the size of the largest of a model's files, its weights in one format or the other."""
    return max(file["bytes"] for file in model.info["files"].values()) / 1e6


def _plain(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)
