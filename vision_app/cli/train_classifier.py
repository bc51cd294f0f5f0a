"""`vision-app train classifier`: make a classifier of a detector."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.config import Config
from vision_app.cli.options import number, positive_int
from vision_app.cli.training import Data, Keeper, Output, Resume, TeacherBoxes, Validation, begin, say


def classifier(
    context: typer.Context,
    config: Config = None,
    data: Data = None,
    validation: Validation = None,
    output: Output = None,
    resume: Resume = False,
    initial: Annotated[
        Path, Option(metavar="MODEL", help="The detector to start from: a model's name or folder.")
    ] = Path("yolo"),
    transfer: Annotated[
        str,
        Option(
            metavar="pooling|head|last|all",
            help="What to train: pooling leaves the detector inside, and with it the boxes, as they are.",
        ),
    ] = "pooling",
    teacher_boxes: TeacherBoxes = None,
    epochs: Annotated[int, Option(metavar="N", parser=positive_int, help="Passes over the data.")] = 2,
    batch_size: Annotated[int, Option(metavar="N", parser=positive_int, help="Photos a step.")] = 16,
    learning_rate: Annotated[float, Option(metavar="RATE", parser=number, help="The highest one.")] = 2e-3,
    warmup_epochs: Annotated[
        float, Option(metavar="N", parser=number, help="Of linear rise to the highest rate.")
    ] = 0.1,
    weight_decay: Annotated[float, Option(metavar="AMOUNT", parser=number, help="L2 on weights.")] = 0.05,
    ema_decay: Annotated[
        float,
        Option(
            "--ema-decay",
            "--average",
            metavar="0..1",
            parser=number,
            help="Decay of the moving average of the weights, which is the model.",
        ),
    ] = 0.99,
    validate_every: Annotated[int, Option(metavar="N", parser=positive_int, help="Epochs between measurements.")] = 1,
    checkpoint_every: Annotated[
        int, Option(metavar="N", help="Steps between checkpoints; 0: only after each epoch.")
    ] = 100,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where to train.")] = "auto",
    precision: Annotated[str, Option(metavar="auto|fp32|bf16|fp16", help="auto: bf16 where it is fast.")] = "auto",
    workers: Annotated[int, Option(metavar="N", parser=positive_int, help="Processes that augment photos.")] = 1,
    seed: Annotated[int, Option(metavar="N", help="Of every random choice.")] = 0,
) -> int:
    """Train a classifier on photos with boxes, from a detector.

    It learns which classes a photo shows; where photos are not labeled for a class, and no teacher is sure, they teach
    nothing about it.
    """
    settings = begin(context, data=data, output=output)
    from vision_app.classification.train.trainer import train

    train(
        data, validation or [], output, settings, initial=initial, transfer=transfer, teacher_boxes=teacher_boxes,
        workers=workers, resume=resume, log=say, callbacks=[Keeper(context)],
    )  # fmt: skip
    return 0
