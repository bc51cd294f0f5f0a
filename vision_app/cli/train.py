"""`vision-app train`: train the released networks again, or go on from them."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from vision_app.cli.options import Help, number, positive_int, show_help

app = typer.Typer(help="Train networks.", add_help_option=False)
FILE = {"exists": True, "dir_okay": False}


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command()
def yolo(
    data: Annotated[
        list[Path],
        Option(metavar="FILE.json", help="COCO-style boxes of COCO's or VOC's classes; may be repeated.", **FILE),
    ],
    validation: Annotated[
        list[Path], Option(metavar="FILE.json", help="Boxes to measure on; the first decides; may be repeated.", **FILE)
    ],
    output: Annotated[
        Path, Option(metavar="RUN", help="Folder of the run; RUN/best becomes the model.", file_okay=False)
    ],
    initial: Annotated[
        Path | None,
        Option(metavar="FILE|FOLDER", help="A YOLOX-Nano checkpoint or a model folder to start from.", exists=True),
    ] = None,
    teacher_boxes: Annotated[
        Path | None, Option(metavar="FILE.json.gz", help="A teacher's boxes for classes that were not labeled.", **FILE)
    ] = None,
    epochs: Annotated[int, Option(metavar="N", parser=positive_int, help="Passes over the data.")] = 16,
    batch_size: Annotated[int, Option(metavar="N", parser=positive_int, help="Photos a step.")] = 32,
    learning_rate: Annotated[float, Option(metavar="RATE", parser=number, help="Of AdamW.")] = 5e-4,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where to train.")] = "cpu",
    precision: Annotated[str, Option(metavar="auto|fp32|bf16", help="auto: bf16 where it is fast.")] = "auto",
    workers: Annotated[int, Option(metavar="N", parser=positive_int, help="Processes that augment photos.")] = 1,
    seed: Annotated[int, Option(metavar="N", help="Of every random choice.")] = 0,
    resume: Annotated[bool, Option("--resume", help="Continue the run in RUN.")] = False,
) -> int:
    """Train the grid detector on COCO's eighty classes."""
    from functools import partial

    from vision_app.detection.train import train
    from vision_app.training.loop import TrainConfig

    config = TrainConfig(
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, device=device, precision=precision, seed=seed
    )
    best = train(
        data, validation, output, config,
        initial=initial, teacher_boxes=teacher_boxes, workers=workers, resume=resume, log=partial(print, flush=True),
    )  # fmt: skip
    print(f"best model: {output / 'best'} " + ", ".join(f"{name} {value:.3f}" for name, value in best.items()))
    return 0


@app.command()
def blend(
    start: Annotated[Path, typer.Argument(metavar="START", help="Model folder before training, e.g. RUN/initial.")],
    trained: Annotated[Path, typer.Argument(metavar="TRAINED", help="Model folder after training, e.g. RUN/best.")],
    output: Annotated[Path, Option(metavar="DIR", help="Model folder to write.")],
    fraction: Annotated[
        float, Option(metavar="0..1", parser=number, help="How far to go from START to TRAINED.")
    ] = 0.5,
) -> int:
    """Write the detector between two: fine-tuning that forgets less of what the start knew."""
    from vision_app.detection.train import blend_models

    blend_models(start, trained, fraction, output)
    print(output)
    return 0
