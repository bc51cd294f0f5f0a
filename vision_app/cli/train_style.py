"""`vision-app train style-encoder` and `style-fast`: train what looks at styles and what paints in them."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.config import Config
from vision_app.cli.options import number, positive_int
from vision_app.cli.training import Keeper, Output, Resume, begin, filled, say

Photos = Annotated[
    list[Path] | None,
    Option(
        metavar="PHOTOS/",
        help="Folders of photos, a few of which are set apart to measure on; may be repeated.",
        exists=True,
        file_okay=False,
    ),
]
Epochs = Annotated[int, Option(metavar="N", parser=positive_int, help="Passes over the photos.")]
BatchSize = Annotated[int, Option(metavar="N", parser=positive_int, help="Pictures a step.")]
Rate = Annotated[float, Option(metavar="RATE", parser=number, help="The highest one.")]
Warmup = Annotated[float, Option(metavar="N", parser=number, help="Of linear rise to the highest rate.")]
Decay = Annotated[float, Option(metavar="AMOUNT", parser=number, help="L2 on weights.")]
Average = Annotated[
    float,
    Option(
        "--ema-decay",
        "--average",
        metavar="0..1",
        parser=number,
        help="Decay of the moving average of the weights, which is the model.",
    ),
]
Validate = Annotated[int, Option(metavar="N", parser=positive_int, help="Epochs between measurements.")]
Checkpoint = Annotated[int, Option(metavar="N", help="Steps between checkpoints; 0: only after each epoch.")]
Device = Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where to train.")]
Precision = Annotated[str, Option(metavar="auto|fp32|bf16|fp16", help="auto: bf16 where it is fast.")]
Workers = Annotated[int, Option(metavar="N", parser=positive_int, help="Processes that cut and paint pictures.")]
Seed = Annotated[int, Option(metavar="N", help="Of every random choice.")]
Size = Annotated[int, Option(metavar="PIXELS", parser=positive_int, help="Side of the squares to learn from.")]


def style_encoder(
    context: typer.Context,
    config: Config = None,
    data: Photos = None,
    output: Output = None,
    resume: Resume = False,
    teacher: Annotated[
        Path | None,
        Option(
            metavar="FOLDER|FILE.pth",
            help="What to learn from: a folder of distilled encoders of VGG-19 (tools/convert_style_weights.py makes it "
            "of the published files), or torchvision's VGG-19.",
            exists=True,
        ),
    ] = None,
    initial: Annotated[
        Path | None, Option(metavar="MODEL", help="Encoder to start from.", show_default="random weights")
    ] = None,
    size: Size = 192,
    epochs: Epochs = 1,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 4e-4,
    warmup_epochs: Warmup = 0.1,
    weight_decay: Decay = 0.0,
    ema_decay: Average = 0.99,
    validate_every: Validate = 1,
    checkpoint_every: Checkpoint = 100,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
) -> int:
    """Train the encoder whose features content and style are compared in.

    It learns to see in photos, and in styles made of them, what VGG-19 sees, at a tenth of the cost.
    """
    settings = begin(context, data=data, output=output, teacher=teacher)
    from vision_app.style.train.encoder import train

    train(
        data, output, settings, teacher=teacher, initial=initial, size=size, workers=workers, resume=resume, log=say,
        callbacks=[Keeper(context)],
    )  # fmt: skip
    return 0


def style_fast(
    context: typer.Context,
    config: Config = None,
    data: Photos = None,
    output: Output = None,
    resume: Resume = False,
    initial: Annotated[
        Path | None,
        Option(metavar="MODEL", help="Fast network to start from.", show_default="random weights"),
    ] = None,
    encoder: Annotated[
        Path, Option(metavar="MODEL|FILE.pth", help="What compares pictures: an encoder, or torchvision's VGG-19.")
    ] = Path("style-encoder"),
    content: Annotated[float, Option(metavar="WEIGHT", parser=number, help="Of what the photo shows.")] = 1.0,
    style: Annotated[float, Option(metavar="WEIGHT", parser=number, help="Of how the style looks.")] = 0.5,
    identity: Annotated[
        float, Option(metavar="WEIGHT", parser=number, help="Of what changes in a picture that is its own style.")
    ] = 2.0,
    lattice: Annotated[
        float, Option(metavar="WEIGHT", parser=number, help="Of dots that repeat with the network's grid.")
    ] = 200.0,
    size: Size = 256,
    epochs: Epochs = 1,
    batch_size: BatchSize = 4,
    learning_rate: Rate = 1e-4,
    warmup_epochs: Warmup = 0.05,
    weight_decay: Decay = 0.0,
    ema_decay: Average = 0.99,
    validate_every: Validate = 1,
    checkpoint_every: Checkpoint = 100,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
) -> int:
    """Train the network that paints any photo in any style at once.

    Styles to learn from are made of the photos: strokes, mosaics, dots, planes, hatching and patterns, in many colors.
    """
    settings = begin(context, data=data, output=output)
    from vision_app.style.train.fast import train
    from vision_app.style.train.options import FastOptions

    train(
        data, output, settings, filled(FastOptions, context), initial=initial, encoder=encoder, workers=workers,
        resume=resume, log=say, callbacks=[Keeper(context)],
    )  # fmt: skip
    return 0
