"""`vision-app evaluate faces`: how well photos of people are told apart."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    import numpy as np

    from vision_app.faces.evaluate.pairs import PhotoSet
    from vision_app.faces.recognizer import FaceRecognizer

Images = Annotated[
    Path | None,
    Option(
        metavar="FOLDER",
        help="Where the files of a list of pairs lie.",
        show_default="beside the list",
        exists=True,
        file_okay=False,
    ),
]
Split = Annotated[
    str | None,
    Option(
        metavar="NAME", help="The part of a table of people to take.", show_default="val, or else test, or else all"
    ),
]
Model = Annotated[str, Option(metavar="NAME", help="What embeds faces: a released model or a model folder or file.")]
Detector = Annotated[str, Option(metavar="NAME", help="What finds faces: a released model or a model folder or file.")]
Device = Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the networks run.")]
Runtime = Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the networks.")]


def faces(
    data: Annotated[
        Path,
        Option(
            metavar="PAIRS.csv|PEOPLE/|PEOPLE.csv",
            help="Pairs (columns file_a, file_b, same; fold, group, identity_a and identity_b if known), a folder with "
            "a sub-folder a person, or a table (columns file, identity; split and group if known).",
            exists=True,
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="New folder for figures, tables and plots.", file_okay=False)],
    images: Images = None,
    split: Split = None,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Measure how well faces are found, embedded and told apart.

    Of a photo with several faces the largest counts. A pair with a photo in which no face is found counts as rejected
    where it shows one person, is left out of the false accept rates, and is wrong in the accuracy. The accuracy of
    listed pairs follows LFW: the threshold of each fold is the best one on the others; without a column fold, ten folds
    are drawn by person. Where people are known, every photo is also compared with every other one, for the small rates.

    DIR gets evaluation.json with all figures, tables as CSV and plots as PNG: ROC, DET, similarities and maps of the
    embeddings.

    Exit code: 0 measured, 1 the data or some of its photos cannot be used, 2 wrong usage.
    """
    from vision_app.cli.evaluate import check_empty
    from vision_app.faces.evaluate.evaluation import evaluate
    from vision_app.faces.evaluate.pairs import load_photos
    from vision_app.faces.evaluate.report import evaluation_summary, write_evaluation
    from vision_app.faces.recognizer import FaceRecognizer

    check_empty(output)
    recognizer = FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime, threads=1)
    photos = load_photos(data, images, split)
    embeddings = embed_photos(recognizer, photos, output)
    evaluation = evaluate(photos, embeddings)
    print(f"{model} on {data}")
    for line in evaluation_summary(evaluation):
        print(line)
    about = {"data": str(data), "model": model, "detector": detector, "contract": recognizer.model_id}
    print("drawing plots and maps", file=sys.stderr)
    write_evaluation(evaluation, output, about)
    print(f"\nfigures, tables and plots are in {output}")
    return 0


def embed_photos(recognizer: "FaceRecognizer", photos: "PhotoSet", output: Path) -> "np.ndarray":
    """Embed the largest face of each photo, with progress; the rows of all faces stay in the private DIR/faces.jsonl.

    Returns:
        (F, D) float32 unit vectors, NaN where no face was found.

    Raises:
        DataError: Some photos cannot be read; nothing is left in the folder.
    """
    from vision_app.batch.sinks import read_rows
    from vision_app.cli.evaluate import write_rows
    from vision_app.core.files import OWNER_ONLY
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.evaluate.embedding_file import largest_faces

    embedder = recognizer.embedder
    rows = output / "faces.jsonl"
    with ExitStack() as failed:
        about = {"model": recognizer.detector.name, "contract": recognizer.model_id}
        task = FacesTask(recognizer, about, device=embedder.device)
        settings = {"--detector": recognizer.detector.name}
        write_rows(task, embedder, [str(path) for path in photos.paths], rows, failed, settings, OWNER_ONLY)
        failed.pop_all()
    return largest_faces(read_rows(rows), embedder.dimension)
