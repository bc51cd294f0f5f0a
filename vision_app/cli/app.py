"""All verbs. A new verb is a function in a file of its own and one line here."""

from typing import Annotated

import typer

from vision_app.cli import (
    check,
    classify,
    compare,
    detect,
    evaluate,
    evaluate_classifier,
    evaluate_faces,
    export,
    faces,
    faces_calibrate,
    faces_identify,
    faces_people,
    models,
    style,
    train,
    train_classifier,
    train_faces,
    train_style,
)
from vision_app.cli.options import Help, show_help

app = typer.Typer(
    help="Find objects, know faces and repaint pictures, on your own machine.",
    rich_markup_mode=None,  # help in plain text takes a third of the time
    add_completion=False,
    add_help_option=False,
)
app.command("check")(check.check)
app.command("classify")(classify.classify)
app.command("compare")(compare.compare)
app.command("detect")(detect.detect)
evaluate.app.command("classifier")(evaluate_classifier.classifier)
evaluate.app.command("faces")(evaluate_faces.faces)
app.add_typer(evaluate.app, name="evaluate")
app.command("export")(export.export)
faces.app.command("calibrate")(faces_calibrate.calibrate)
faces.app.command("enroll")(faces_people.enroll)
faces.app.command("identify")(faces_identify.identify)
faces.app.command("list")(faces_people.list_people)
faces.app.command("show")(faces_people.show)
faces.app.command("rename")(faces_people.rename)
faces.app.command("merge")(faces_people.merge)
faces.app.command("forget")(faces_people.forget)
faces.app.command("export")(faces_people.export)
faces.app.command("import")(faces_people.import_people)
faces.app.command("reembed")(faces_people.reembed)
faces.app.command("group")(faces_identify.group)
faces.app.command("check")(faces_people.check)
app.add_typer(faces.app, name="faces")
app.add_typer(models.app, name="models")
app.command("style")(style.style)
train.app.command("classifier")(train_classifier.classifier)
train.app.command("faces")(train_faces.faces)
train.app.command("style-encoder")(train_style.style_encoder)
train.app.command("style-fast")(train_style.style_fast)
app.add_typer(train.app, name="train")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    help: Help = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from vision_app import __version__

        typer.echo(f"vision-app {__version__}")
        raise typer.Exit
    show_help(context, help)
