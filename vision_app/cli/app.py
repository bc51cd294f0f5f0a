"""All commands. A new one is a function in a file of its own and one line here."""

from typing import Annotated

import typer
from typer import Option

from vision_app.cli import (
    compare,
    detect,
    evaluate,
    evaluate_faces,
    faces,
    faces_gallery,
    faces_identify,
    models,
    style,
    train,
    train_detector,
)
from vision_app.cli.commands import Commands, Help, show_help
from vision_app.cli.terminal import say

app = Commands(
    help="Object detection, face recognition and style transfer on your own machine.",
    rich_markup_mode=None,  # help in plain text takes a third of the time
    add_completion=False,  # typer's own options load Pydantic at every start, see `_completion`
    add_help_option=False,
)
for command in (train_detector.check, detect.classify, compare.compare, detect.detect, models.export, style.style):
    app.command()(command)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(faces.app, name="faces")
app.add_typer(models.app, name="models")
app.add_typer(train_detector.app, name="train")
__all__ = ["app", "evaluate_faces", "faces_gallery", "faces_identify", "train"]  # these add commands to the groups


def _completion(context: typer.Context, parameter: typer.CallbackParam, asked: bool) -> bool:
    """Install or show the completion of the current shell and exit, if asked to."""
    if asked:
        from typer import completion

        completion.completion_init()  # type: ignore[attr-defined]
        act = completion.install_callback if parameter.name == "install_completion" else completion.show_callback
        act(context, parameter, asked)
    return asked


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    help: Help = False,
    version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False,
    install_completion: Annotated[
        bool, Option("--install-completion", callback=_completion, help="Install completion for the current shell.")
    ] = False,
    show_completion: Annotated[
        bool, Option("--show-completion", callback=_completion, help="Print the completion script and exit.")
    ] = False,
) -> None:
    """Show the version or the help."""
    if version:
        from vision_app import __version__

        say(f"vision-app {__version__}")
        raise typer.Exit
    show_help(context, help)
