"""`vision-app train`: train a detector on one's own photos, train the released networks again, or go on from them."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.config import KEPT, Config
from vision_app.cli.options import Help, number, positive_int, show_help
from vision_app.cli.training import Data, Keeper, Output, Resume, TeacherBoxes, Validation, filled, say

app = typer.Typer(help="Train networks.", add_help_option=False)
# The R-CNN family: options of `yolo` that it lacks, and those that have other defaults.
NOT_OF_THE_FAMILY = ("label_smoothing", "dropout", "backbone", "initialize")
OF_THE_FAMILY = {
    "initial": Path("yolo"), "transfer": "head", "batch_size": 16, "epochs": 8, "learning_rate": 1e-3, "mosaic": 0.3,
    "close_epochs": 2,
}  # fmt: skip
# What the face detector lacks and has otherwise.
NOT_OF_FACES = (*NOT_OF_THE_FAMILY, "teacher_boxes")
OF_FACES = {"initial": Path("yolo"), "size": 320, "batch_size": 16, "epochs": 8, "learning_rate": 1e-3, "mosaic": 0.5}
START = Annotated[
    Path,
    Option(metavar="MODEL", help="What to start from: a grid detector or a model of the same kind, by name or folder."),
]
POSITIVE = {"metavar": "N", "parser": positive_int}  # other limits are checked by `TrainConfig` and `DetectionOptions`


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command()
def yolo(
    context: typer.Context,
    config: Config = None,
    # what is learned from, and where to
    data: Data = None,
    validation: Validation = None,
    output: Output = None,
    resume: Resume = False,
    # the network
    initial: Annotated[
        Path | None,
        Option(
            metavar="MODEL|FILE",
            help="What to start from: a model's name or folder, or published weights, those of YOLOX-Nano (.pth) or "
            "PicoDet-S (.bin).",
        ),
    ] = None,
    transfer: Annotated[
        str, Option(metavar="head|last|all", help="What to train of a network from --initial.")
    ] = "all",
    backbone: Annotated[
        str | None, Option(metavar="NAME", help="Of a fresh network: csp, residual, inception or shuffle.")
    ] = None,
    initialize: Annotated[str, Option(metavar="he|xavier", help="How fresh weights are drawn.")] = "he",
    size: Annotated[int, Option(metavar="N", help="Side of the network's input in pixels.")] = 416,
    teacher_boxes: TeacherBoxes = None,
    # steps
    epochs: Annotated[int, Option(help="Passes over the data.", **POSITIVE)] = 16,
    batch_size: Annotated[int, Option(help="Photos a step, on all devices together.", **POSITIVE)] = 32,
    accumulate: Annotated[
        int, Option(help="Parts that a batch is worked through in; more take less memory.", **POSITIVE)
    ] = 1,
    optimizer: Annotated[
        str,
        Option(
            metavar="NAME",
            help="sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamax, nadam or adamw.",
        ),
    ] = "adamw",
    momentum: Annotated[
        float, Option(help="Of the optimizer; beta 1 of the Adam family.", metavar="0..1", parser=number)
    ] = 0.9,
    clip: Annotated[float, Option(help="Largest norm of the gradient.", metavar="NORM", parser=number)] = 10.0,
    ema_decay: Annotated[
        float,
        Option(
            "--ema-decay",
            "--average",
            help="Decay of the moving average of the weights, which is the model.",
            metavar="0..1",
            parser=number,
        ),
    ] = 0.998,
    # the learning rate
    learning_rate: Annotated[float, Option(help="The highest one.", metavar="RATE", parser=number)] = 5e-4,
    schedule: Annotated[
        str,
        Option(
            metavar="NAME",
            help="constant, step, exponential, cosine, restarts, triangle, one-cycle or plateau.",
        ),
    ] = "cosine",
    warmup_epochs: Annotated[
        float, Option(help="Of linear rise to where the schedule starts.", metavar="N", parser=number)
    ] = 0.5,
    min_lr_ratio: Annotated[
        float,
        Option(
            "--min-lr-ratio",
            "--final",
            help="Lowest rate of the schedule, relative to the full one.",
            metavar="0..1",
            parser=number,
        ),
    ] = 0.05,
    cycles: Annotated[int, Option(help="Stages of step, cycles of restarts and triangle.", **POSITIVE)] = 3,
    plateau_patience: Annotated[
        int, Option(help="Measurements without a better one until plateau lowers the rate.", **POSITIVE)
    ] = 2,
    plot_schedule: Annotated[
        Path | None, Option(metavar="FILE.png", help="Draw the schedule, and end.", dir_okay=False)
    ] = None,
    find_lr: Annotated[
        bool, Option("--find-lr", help="Search for a learning rate, draw the search into RUN, and end.")
    ] = False,
    # regularization and augmentation
    weight_decay: Annotated[float, Option(help="L2 on weights.", metavar="AMOUNT", parser=number)] = 0.05,
    l1: Annotated[
        float,
        Option("--l1", help="L1 on weights; with --weight-decay an elastic net.", metavar="AMOUNT", parser=number),
    ] = 0.0,
    dropout: Annotated[
        float, Option(help="Probability of dropping a channel before the classes.", metavar="0..1", parser=number)
    ] = 0.0,
    label_smoothing: Annotated[
        float, Option(help="Part of a class target that is spread over all classes.", metavar="0..1", parser=number)
    ] = 0.0,
    adversarial: Annotated[
        float,
        Option(help="Train on fast gradient sign examples too, with steps of EPS; 0..1.", metavar="EPS", parser=number),
    ] = 0.0,
    stretch: Annotated[
        float,
        Option(help="How far the short side of a photo may be stretched; 1: not.", metavar="1..4", parser=number),
    ] = 1.5,
    mosaic: Annotated[
        float, Option(help="Probability that four photos are joined to one.", metavar="0..1", parser=number)
    ] = 0.7,
    close_epochs: Annotated[int, Option(help="The last ones, without mosaic.", metavar="N")] = 3,
    multi_scale: Annotated[bool, Option(help="Whether the size differs from batch to batch.")] = True,
    # measuring and keeping
    validate_every: Annotated[int, Option(help="Epochs between measurements.", **POSITIVE)] = 4,
    patience: Annotated[
        int, Option(help="Measurements without a better one after which training ends; 0: never.", metavar="N")
    ] = 0,
    keep: Annotated[int, Option(help="Best models kept in RUN/top, beside RUN/best.", metavar="N")] = 0,
    checkpoint_every: Annotated[
        int, Option(help="Steps between checkpoints; 0: only after each epoch.", metavar="N")
    ] = 100,
    # the machine
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where to train.")] = "auto",
    devices: Annotated[int, Option(help="Processes, one GPU each on cuda; or start them by torchrun.", **POSITIVE)] = 1,
    precision: Annotated[str, Option(metavar="auto|fp32|bf16|fp16", help="auto: bf16 where it is fast.")] = "auto",
    workers: Annotated[int, Option(help="Processes that augment photos.", **POSITIVE)] = 1,
    seed: Annotated[int, Option(metavar="N", help="Of every random choice.")] = 0,
) -> int:
    """Train the grid detector on photos with boxes."""
    return _run(context, "yolo")


def _like_yolo(
    kind: str, missing: tuple[str, ...] = NOT_OF_THE_FAMILY, other: dict = OF_THE_FAMILY
) -> Callable[..., int]:
    """The command for another kind of detector: the options of `yolo`, but for those that it does not have.

    Args:
        missing: these, by name.
        other: defaults by name.
    """

    def command(context: typer.Context, **_) -> int:
        return _run(context, kind)

    signature = inspect.signature(yolo)
    options = {name: option for name, option in signature.parameters.items() if name not in missing}
    options["initial"] = options["initial"].replace(annotation=START)
    changed = [option.replace(default=other.get(name, option.default)) for name, option in options.items()]
    command.__signature__ = signature.replace(parameters=changed)
    command.__annotations__ = {name: option.annotation for name, option in options.items()} | {"return": int}
    return command


app.command("faster-rcnn", help="Train Faster R-CNN on photos with boxes; it finds its regions itself.")(
    _like_yolo("faster-rcnn")
)
app.command("fast-rcnn", help="Train Fast R-CNN on photos with boxes, with the regions of selective search.")(
    _like_yolo("fast-rcnn")
)
app.command("face-detector", help="Train the grid detector on photos with boxes of faces and their five landmarks.")(
    _like_yolo("face-detector", NOT_OF_FACES, OF_FACES)
)


@app.command()
def rcnn(
    initial: Annotated[
        Path, Option(metavar="MODEL", help="A Fast R-CNN model, by name or folder, whose weights it takes.")
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Model folder to write.")],
) -> int:
    """Write the R-CNN with a Fast R-CNN's weights: it warps the regions of a photo and looks at each by itself."""
    from vision_app.detection.train.rcnn import write_rcnn

    write_rcnn(initial, output)
    print(output)
    return 0


def _run(context: typer.Context, kind: str) -> int:
    """Train a detector of a kind with the options of its command."""
    import os
    from types import SimpleNamespace

    from vision_app.core.errors import UsageError
    from vision_app.training.config import TrainConfig

    given, settings = SimpleNamespace(**{"teacher_boxes": None} | context.params), filled(TrainConfig, context)
    if given.plot_schedule:
        from vision_app.training.learning_rate import plot_schedule

        plot_schedule(settings, given.plot_schedule)
        print(given.plot_schedule)
        return 0
    output: Path = given.output
    for name, value in {"--data": given.data, "--output": output}.items():
        if not value:
            none = f" {output} has no {KEPT} to take it from." if given.resume and output else ""
            raise UsageError(f"Missing option '{name}'.{none}")
    if kind != "yolo" and given.initial.is_file():
        raise UsageError(f"--initial {given.initial}: is a file; {kind} starts from a model, by name or folder")
    from vision_app.core.figures import import_matplotlib

    import_matplotlib()  # before Fabric does, by way of torchmetrics
    from vision_app.detection.train.options import DetectionOptions
    from vision_app.detection.train.trainer import train
    from vision_app.training.learning_rate import find_learning_rate
    from vision_app.training.loop import CHECKPOINT, fit, silent

    def search(task, config, folder, *, log, **run) -> dict[str, float]:
        """Takes the place of `fit`; there is no run to resume or to watch."""
        return {"learning_rate": find_learning_rate(task, config, folder, log=log)}

    kinds = {}
    if kind == "face-detector":
        from vision_app.faces.train.detector import FaceDetectionTask, starting_detector

        kinds = {"task": FaceDetectionTask, "start": starting_detector}
    elif kind != "yolo":
        from vision_app.detection.train.rcnn import region_task, starting_regions

        kinds = {"task": region_task(kind, output / "proposals"), "start": partial(starting_regions, kind)}
    first = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"  # of several processes, one speaks
    try:
        found = train(
            given.data, given.validation or [], output, settings, filled(DetectionOptions, context),
            initial=given.initial, teacher_boxes=given.teacher_boxes, workers=given.workers, resume=given.resume,
            log=say if first else silent, callbacks=[Keeper(context)], run=search if given.find_lr else fit, **kinds,
        )  # fmt: skip
    except KeyboardInterrupt:
        if first and not given.find_lr and not (output / CHECKPOINT).exists():
            say("stopped before the first checkpoint; there is nothing to resume, and the same command starts afresh")
        raise
    if first and given.find_lr:
        print(f"suggested: --learning-rate {found['learning_rate']:g}")
    return 0


@app.command()
def blend(
    start: Annotated[
        Path, typer.Argument(metavar="START", help="Model before training: a name or folder, e.g. RUN/initial.")
    ],
    trained: Annotated[
        Path, typer.Argument(metavar="TRAINED", help="Model after training: a name or folder, e.g. RUN/best.")
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Model folder to write.")],
    fraction: Annotated[
        float, Option(metavar="0..1", parser=number, help="How far to go from START to TRAINED.")
    ] = 0.5,
) -> int:
    """Write the detector between two: fine-tuning that forgets less of what the start knew."""
    from vision_app.detection.train.interpolate import blend_models

    blend_models(start, trained, fraction, output)
    print(output)
    return 0
