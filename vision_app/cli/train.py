"""`vision-app train` for classifiers, face embedders and style networks."""

from dataclasses import replace
from pathlib import Path

import typer

from vision_app.cli.options import BOXES, IMAGES, Fields, Text, with_options
from vision_app.cli.train_detector import app
from vision_app.cli.train_options import DATA, LOOP, RUN, TEACHER_BOXES, RunOptions, trained, validation
from vision_app.faces.train.options import FaceOptions
from vision_app.released.names import DETECTOR, FACE_DETECTOR, STYLE_ENCODER
from vision_app.style.train.options import FastOptions
from vision_app.training.config import TrainConfig

STYLE_DEFAULTS = {"epochs": 1, "weight_decay": 0.0, "ema_decay": 0.99, "validate_every": 1}
PEOPLE = "PEOPLE/|FILE.csv|FILE.npz"
PHOTOS = Text(
    "PHOTOS/",
    "Folders of photos, a few of which are held out for evaluation; may be repeated.",
    exists=True,
    file_okay=False,
)


@app.command()
@with_options(
    run=Fields(RUN),
    settings=trained(
        LOOP, epochs=2, batch_size=16, learning_rate=2e-3, warmup_epochs=0.1, ema_decay=0.99, validate_every=1
    ),
    data=DATA,
    validation=validation(BOXES),
    initial=Text("MODEL", "Detector to start from: name or folder."),
    transfer=Text(
        "pooling|head|last|all",
        "Parts of the detector to train; pooling trains none of it and so leaves the boxes as they are.",
    ),
    teacher_boxes=TEACHER_BOXES,
    images=IMAGES,
)
def classifier(
    context: typer.Context,
    run: RunOptions,
    settings: TrainConfig,
    data: list[Path] | None = None,
    validation: list[Path] | None = None,
    initial: Path = Path(DETECTOR),
    transfer: str = "pooling",
    teacher_boxes: Path | None = None,
    images: list[Path] | None = None,
) -> int:
    """Train an image classifier on images with boxes, from a detector.

    It learns which classes an image shows. Images that are not labeled for a class, and on which no teacher is
    confident, are ignored for that class.
    """
    common = run.begin(context, data=data)
    from vision_app.classification.train.trainer import train

    train(
        data or [], validation or [], config=settings, initial=initial, transfer=transfer, teacher_boxes=teacher_boxes,
        images=images or [], **common,
    )  # fmt: skip
    return 0


@app.command()
@with_options(
    run=Fields(RUN),
    settings=trained(
        (*LOOP, "schedule", "min_lr_ratio", "patience", "keep"),
        epochs=20, batch_size=96, min_lr_ratio=0.01, validate_every=1,
    ),
    options=trained(),
    without=("learning_rate",),
    data=Text(
        PEOPLE,
        "Photos of people: a folder with a sub-folder per person, a CSV file with the columns file and identity, or "
        "RUN/crops.npz of another run; may be repeated.",
        exists=True,
    ),
    validation=validation(PEOPLE, "; also a CSV file of pairs with the columns file_a, file_b and same"),
    initial=Text("MODEL", "Model to start from, by name or folder."),
    teacher=Text(
        "MODEL|FILE.npz",
        "Teacher, by name or folder, or a file of its answers; by default the model of --initial, so that nothing is "
        "forgotten.",
    ),
    detector=Text("MODEL", "Face detector: a model's name or folder."),
    rate=Text(
        "RATE", "Peak learning rate.", "--learning-rate",
        show_default="2e-3, or 2e-5 with --initial", rich_help_panel="Learning rate",
    ),
)  # fmt: skip
def faces(
    context: typer.Context,
    run: RunOptions,
    settings: TrainConfig,
    options: FaceOptions,
    data: list[Path] | None = None,
    validation: list[Path] | None = None,
    initial: Path | None = None,
    teacher: Path | None = None,
    detector: Path = Path(FACE_DETECTOR),
    rate: float | None = None,
) -> int:
    """Train a face embedder on photos of people: from scratch, from a teacher, or from a model.

    It learns to map two photos of the same person to nearby vectors. A handful of people with a few photos each is
    enough to make a released model better at telling these people apart.
    """
    if rate is None:  # a large first step destroys what a network has learned
        rate = 2e-5 if initial else 2e-3
    settings = replace(settings, learning_rate=rate)
    common = run.begin(context, data=data)
    from vision_app.faces.train.trainer import train

    train(
        data or [], validation or [], config=settings, options=options, initial=initial, teacher=teacher,
        detector=detector, **common,
    )  # fmt: skip
    return 0


@app.command()
@with_options(
    run=Fields(RUN),
    settings=trained(LOOP, batch_size=8, learning_rate=4e-4, warmup_epochs=0.1, **STYLE_DEFAULTS),
    data=PHOTOS,
    teacher=Text(
        "FOLDER|FILE.pth",
        "Teacher: torchvision's VGG-19, or a folder of its distilled encoders (see tools/convert_style_weights.py).",
        exists=True,
    ),
    initial=Text("MODEL", "Encoder to start from.", show_default="random weights"),
    size=Text("N", "Side of the training crops in pixels."),
)
def style_encoder(
    context: typer.Context,
    run: RunOptions,
    settings: TrainConfig,
    data: list[Path] | None = None,
    teacher: Path | None = None,
    initial: Path | None = None,
    size: int = 192,
) -> int:
    """Train the encoder in whose features content and style are compared.

    It learns the features of VGG-19 on photos, and on styles generated from them, at a tenth of the cost.
    """
    common = run.begin(context, data=data, teacher=teacher)
    from vision_app.style.train.encoder import train

    train(data or [], config=settings, teacher=teacher or Path(), initial=initial, size=size, **common)
    return 0


@app.command()
@with_options(
    run=Fields(RUN),
    settings=trained(LOOP, batch_size=4, learning_rate=1e-4, warmup_epochs=0.05, **STYLE_DEFAULTS),
    options=trained(),
    data=PHOTOS,
    initial=Text("MODEL", "Fast network to start from.", show_default="random weights"),
    encoder=Text("MODEL|FILE.pth", "Encoder of the losses: a model, or torchvision's VGG-19."),
)
def style_fast(
    context: typer.Context,
    run: RunOptions,
    settings: TrainConfig,
    options: FastOptions,
    data: list[Path] | None = None,
    initial: Path | None = None,
    encoder: Path = Path(STYLE_ENCODER),
) -> int:
    """Train the network that renders any photo in any style in one pass.

    Training styles are generated from the photos: strokes, mosaics, dots, planes, hatching and patterns, in many
    colors.
    """
    common = run.begin(context, data=data)
    from vision_app.style.train.fast import train

    train(data or [], config=settings, options=options, initial=initial, encoder=encoder, **common)
    return 0
