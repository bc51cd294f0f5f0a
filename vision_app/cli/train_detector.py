"""`vision-app train` for detectors, and `vision-app check` of their data and network before a long training."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import typer

from vision_app.cli.commands import group_of_commands
from vision_app.cli.options import BOXES, IMAGES, Fields, Text, output_folder, with_options
from vision_app.cli.terminal import say
from vision_app.cli.train_options import DATA, KEPT, RUN, TEACHER_BOXES, RunOptions, trained, validation
from vision_app.core.errors import UsageError
from vision_app.core.figures import import_matplotlib
from vision_app.detection.train.options import DetectionOptions
from vision_app.released.names import DETECTOR
from vision_app.training.config import TrainConfig

app = group_of_commands("Train networks.")
NEW_MODEL = Text("DIR", "Model folder to write.")
RATES = "Learning rate"


def train(
    context: typer.Context,
    run: RunOptions,
    settings: TrainConfig,
    options: DetectionOptions,
    data: list[Path] | None = None,
    validation: list[Path] | None = None,
    initial: Path | None = None,
    teacher_boxes: Path | None = None,
    images: list[Path] | None = None,
    plot_schedule: Path | None = None,
    find_lr: bool = False,
) -> int:
    """Train a detector of the kind that the command names."""
    if plot_schedule:
        from vision_app.training.learning_rate import plot_schedule as plot

        plot(settings, plot_schedule)
        say(plot_schedule)
        return 0
    kind = str(context.command.name)
    if run.resume and run.output and not data:
        raise UsageError(f"Missing option '--data'. {run.output} has no {KEPT} to take it from.")
    common = run.begin(context, data=data)
    output: Path = common["output"]
    from vision_app.detection.train.trainer import train
    from vision_app.training.learning_rate import find_learning_rate
    from vision_app.training.loop import fit, silent
    from vision_app.training.runs import CHECKPOINT

    def search(task: Any, config: TrainConfig, folder: Path, *, log: Any, **others: Any) -> dict[str, float]:
        """Take the place of `fit`; there is no run to resume or to watch."""
        return {"learning_rate": find_learning_rate(task, config, folder, log=log)}

    kinds: dict[str, Any] = {}
    if kind == "face-detector":
        from vision_app.faces.train.detector import FaceDetectionTask, starting_detector

        kinds = {"task": FaceDetectionTask, "start": starting_detector}
    elif kind != "yolo":
        from vision_app.detection.train.rcnn import region_task, starting_regions

        kinds = {"task": region_task(kind, output / "proposals"), "start": partial(starting_regions, kind)}
    first = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"  # only one of several processes prints
    try:
        found = train(
            data or [], validation or [], config=settings, options=options, initial=initial,
            teacher_boxes=teacher_boxes, images=images or [], run=search if find_lr else fit,
            **common | kinds | {"log": say if first else silent},
        )  # fmt: skip
    except KeyboardInterrupt:
        if first and not find_lr and not (output / CHECKPOINT).exists():
            say("stopped before the first checkpoint; nothing to resume: run the same command to start over")
        raise
    if first and find_lr:
        say(f"suggested: --learning-rate {found['learning_rate']:g}")
    return 0


OF_YOLO = Text("MODEL", "Model to start from, by name or folder.")
OF_OTHERS = Text("MODEL", "Model to start from, by name or folder: a grid detector or one of the same kind.")
ONLY_YOLO = "label_smoothing", "dropout", "backbone", "initialize"
NOT_OF_FACES = (*ONLY_YOLO, "teacher_boxes")
REGIONS = {"transfer": "head", "mosaic": 0.3, "close_epochs": 2}
SHORT = {"batch_size": 16, "epochs": 8, "learning_rate": 1e-3}
FACES = {"size": 320, "mosaic": 0.5}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    # what it trains, other defaults of the loop and of the detector, and options that this kind lacks
    "yolo": ("the grid detector on images with boxes", {}, {}, ()),
    "faster-rcnn": ("Faster R-CNN on images with boxes; it proposes regions itself", SHORT, REGIONS, ONLY_YOLO),
    "fast-rcnn": ("Fast R-CNN on images with boxes, with regions of selective search", SHORT, REGIONS, ONLY_YOLO),
    "face-detector": (
        "the grid detector on images with boxes of faces and their five landmarks", SHORT, FACES, NOT_OF_FACES
    ),
}  # fmt: skip
for name, (about, of_loop, of_detector, missing) in KINDS.items():
    app.command(name, help=f"Train {about}.")(
        with_options(
            missing,
            {} if name == "yolo" else {"initial": Path(DETECTOR)},
            run=Fields(RUN),
            settings=trained(**of_loop),
            options=trained(**of_detector),
            data=DATA,
            validation=validation(BOXES),
            initial=OF_YOLO if name == "yolo" else OF_OTHERS,
            teacher_boxes=TEACHER_BOXES,
            images=IMAGES,
            plot_schedule=Text(
                "FILE.png", "Plot the learning-rate schedule and exit.", dir_okay=False, rich_help_panel=RATES
            ),
            find_lr=Text("", "Run a learning-rate range test, plot it into RUN and exit.", rich_help_panel=RATES),
        )(train)
    )


@app.command()
@with_options(initial=Text("MODEL", "Fast R-CNN model with the weights: name or folder."), output=NEW_MODEL)
def rcnn(initial: Path, output: Path) -> int:
    """Write an R-CNN with the weights of a Fast R-CNN: it warps each region of an image and classifies it alone."""
    from vision_app.detection.train.rcnn import write_rcnn

    write_rcnn(initial, output)
    say(output)
    return 0


@with_options(
    output=output_folder("Folder for contact sheets and scan.csv."),
    images=IMAGES,
    model=OF_YOLO,
    backbone=Text("NAME", "Backbone of a new network: csp, residual, inception or shuffle.", show_default="csp"),
    size=Text("N", "Side of the network's input in pixels."),
)
def check(
    data: Path,
    output: Path,
    images: list[Path] | None = None,
    model: Path | None = None,
    backbone: str | None = None,
    size: int = DetectionOptions.size,
    overwrite: bool = False,
) -> int:
    """Check the data, losses and network of a detector before a long training.

    Four checks: the data is scanned for missing, corrupt, duplicate, out-of-range and unlabeled entries; the gradients
    of the losses are compared with finite differences; the first batches are drawn with their boxes; and the network
    must overfit a few images, which takes seconds to many minutes, by the network and --size; the time left is printed.

    Exit code: 0 all checks passed, 1 a check failed, 2 wrong usage.
    """
    import_matplotlib()  # before Fabric does, by way of torchmetrics
    from vision_app.detection.train.checks import run_checks

    passed = []
    options = DetectionOptions(size=size, backbone=backbone)
    for found in run_checks(data, output, options, initial=model, images=images or [], log=say, overwrite=overwrite):
        say(str(found))
        passed.append(found.passed)
    if all(passed):
        say(f"all {len(passed)} checks passed; images are in {output}")
        return 0
    say(f"{passed.count(False)} of {len(passed)} checks failed; see {output}")
    return 1
