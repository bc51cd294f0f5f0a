"""What the commands that train have in common: options, and what is done with them."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.config import resumed, write_options

BOXES = "FILE.json|FILE.yaml|FOLDER"
Data = Annotated[
    list[Path] | None,
    Option(
        metavar=BOXES,
        help="Photos with boxes: a COCO file, a YOLO data.yaml or a folder of VOC's XML; may be repeated.",
        exists=True,
    ),
]
Validation = Annotated[
    list[Path] | None,
    Option(
        "--validation",
        "--val",
        metavar=BOXES,
        help="Boxes to measure on; the first decides which model is best; may be repeated. By default what --data "
        "sets apart for it.",
        exists=True,
    ),
]
Output = Annotated[
    Path | None,
    Option(
        metavar="RUN",
        help="Folder of the run; RUN/best becomes the model.",
        file_okay=False,
        is_eager=True,
        callback=resumed,
    ),
]
Resume = Annotated[
    bool,
    Option(
        "--resume",
        help="Continue the run in RUN; it knows the options that it was started with.",
        is_eager=True,
        callback=resumed,
    ),
]
TeacherBoxes = Annotated[
    Path | None,
    Option(
        metavar="FILE.json.gz",
        help="A teacher's boxes for classes that were not labeled.",
        exists=True,
        dir_okay=False,
    ),
]


class Keeper:
    """Keeps the options in the run's folder as soon as there is one; see `training.task.Callback`."""

    def __init__(self, context: typer.Context):
        self.context = context

    def on_start(self, folder: Path, task, config) -> None:
        write_options(self.context, folder)


def filled(kind: type, context: typer.Context):
    """A dataclass whose fields are options of the same name, as far as the command has them."""
    from dataclasses import fields

    names = [field.name for field in fields(kind) if field.name in context.params]
    return kind(**{name: context.params[name] for name in names})


def begin(context: typer.Context, **needed: object):
    """The `TrainConfig` of a command, once the options are there that a run cannot do without.

    Raises:
        UsageError: one of the needed options, by name, is missing; or a value is out of its range.
    """
    from vision_app.core.errors import UsageError
    from vision_app.training.config import TrainConfig

    found = filled(TrainConfig, context)
    for name, value in needed.items():
        if not value:
            raise UsageError(f"Missing option '--{name}'.")
    from vision_app.core.figures import import_matplotlib

    import_matplotlib()  # before Fabric does, by way of torchmetrics
    return found


def say(line: str) -> None:
    print(line, flush=True)
