"""`vision-app train faces`: train the network that turns faces into vectors."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.config import Config
from vision_app.cli.options import number, positive_int
from vision_app.cli.training import Keeper, Output, Resume, begin, filled, say

FACES = "PEOPLE/|FILE.csv|FILE.npz"


def faces(
    context: typer.Context,
    config: Config = None,
    data: Annotated[
        list[Path] | None,
        Option(
            metavar=FACES,
            help="Photos of people: a folder with a sub-folder a person, a CSV file with the columns file and "
            "identity, or RUN/crops.npz of another run; may be repeated.",
            exists=True,
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        Option(
            "--validation",
            "--val",
            metavar=FACES,
            help="What to measure on; also a CSV file of pairs with the columns file_a, file_b and same. The first "
            "decides which model is best; may be repeated. By default what --data sets apart for it.",
            exists=True,
        ),
    ] = None,
    output: Output = None,
    resume: Resume = False,
    initial: Annotated[Path | None, Option(metavar="MODEL", help="Model to start from, by its name or folder.")] = None,
    teacher: Annotated[
        Path | None,
        Option(
            metavar="MODEL|FILE.npz",
            help="Model to learn from, by its name or folder, or a file of its answers; by default that of --initial, "
            "so that nothing is forgotten.",
        ),
    ] = None,
    detector: Annotated[Path, Option(metavar="MODEL", help="What finds the faces: a model's name or folder.")] = Path(
        "face-detector"
    ),
    # the loss
    loss: Annotated[
        str | None, Option(metavar="triplet|teacher|both", help="By default both, or triplet without a teacher.")
    ] = None,
    miner: Annotated[
        str, Option(metavar="NAME", help="Of triplets: batch-hard, semi-hard or batch-all.")
    ] = "semi-hard",
    distance: Annotated[str, Option(metavar="squared|euclidean", help="Of two faces in a triplet.")] = "squared",
    margin: Annotated[
        float, Option(metavar="DISTANCE", parser=number, help="By which someone else must be further away.")
    ] = 0.2,
    triplet_weight: Annotated[float, Option(metavar="WEIGHT", parser=number, help="Of the triplet loss.")] = 1.0,
    relations: Annotated[
        float, Option(metavar="WEIGHT", parser=number, help="Of how alike the teacher finds faces to each other.")
    ] = 10.0,
    freeze_blocks: Annotated[
        int,
        Option(
            "--freeze-blocks",
            "--held",
            metavar="BLOCKS",
            help="Of the network's 14, from its input, how many stay as they are.",
        ),
    ] = 0,
    # steps
    epochs: Annotated[int, Option(metavar="N", parser=positive_int, help="Passes over the data.")] = 20,
    batch_size: Annotated[int, Option(metavar="N", parser=positive_int, help="Faces a step.")] = 96,
    people: Annotated[int, Option(metavar="N", parser=positive_int, help="In a batch with several photos.")] = 12,
    photos: Annotated[int, Option(metavar="N", parser=positive_int, help="Of each of these people.")] = 4,
    learning_rate: Annotated[
        float | None,
        Option(metavar="RATE", parser=number, help="The highest one; by default 2e-3, or 2e-5 with --initial."),
    ] = None,
    schedule: Annotated[
        str,
        Option(metavar="NAME", help="constant, step, exponential, cosine, restarts, triangle, one-cycle or plateau."),
    ] = "cosine",
    warmup_epochs: Annotated[
        float, Option(metavar="N", parser=number, help="Of linear rise to the highest rate.")
    ] = 0.5,
    min_lr_ratio: Annotated[
        float,
        Option(
            "--min-lr-ratio",
            "--final",
            metavar="0..1",
            parser=number,
            help="Lowest rate of the schedule, relative to the full one.",
        ),
    ] = 0.01,
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
    ] = 0.998,
    # measuring and keeping
    validate_every: Annotated[int, Option(metavar="N", parser=positive_int, help="Epochs between measurements.")] = 1,
    patience: Annotated[
        int, Option(metavar="N", help="Measurements without a better one after which training ends; 0: never.")
    ] = 0,
    keep: Annotated[int, Option(metavar="N", help="Best models kept in RUN/top, beside RUN/best.")] = 0,
    checkpoint_every: Annotated[
        int, Option(metavar="N", help="Steps between checkpoints; 0: only after each epoch.")
    ] = 100,
    # the machine
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where to train.")] = "auto",
    precision: Annotated[str, Option(metavar="auto|fp32|bf16|fp16", help="auto: bf16 where it is fast.")] = "auto",
    workers: Annotated[int, Option(metavar="N", parser=positive_int, help="Processes that augment faces.")] = 1,
    seed: Annotated[int, Option(metavar="N", help="Of every random choice.")] = 0,
) -> int:
    """Train a face embedder on photos of people, fresh, from a teacher, or from a model.

    It learns to turn two photos of one person into vectors near to each other. A handful of people with a few photos
    each is enough to make a released model better at telling these apart.
    """
    if learning_rate is None:  # a network that has learned before loses it in one large step
        context.params["learning_rate"] = 2e-5 if initial else 2e-3
    settings = begin(context, data=data, output=output)
    from vision_app.faces.train.options import FaceOptions
    from vision_app.faces.train.trainer import train

    train(
        data, validation or [], output, settings, filled(FaceOptions, context), initial=initial, teacher=teacher,
        detector=detector, workers=workers, resume=resume, log=say, callbacks=[Keeper(context)],
    )  # fmt: skip
    return 0
