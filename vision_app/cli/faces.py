"""`vision-app faces`: find faces, turn them into embeddings, and say whether two are of one person."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from vision_app.cli.options import Help, number, positive_int, show_help

app = typer.Typer(help="Find faces, compare them and recognize people.", add_help_option=False)

Sources = Annotated[
    list[str],
    Argument(metavar="SOURCE", help="Images, folders (with all their sub-folders) and quoted glob patterns."),
]
Detector = Annotated[
    str, Option(metavar="NAME", help="What finds faces: a released model, or the path of a model folder or file.")
]
Model = Annotated[
    str, Option(metavar="NAME", help="What embeds faces: a released model, or the path of a model folder or file.")
]
Smallest = Annotated[
    float,
    Option(
        metavar="PX",
        parser=number,
        help="Side of the smallest face to look for, in pixels of the image. Larger is faster with large images.",
    ),
]
Workers = Annotated[
    int | None, Option(metavar="N", parser=positive_int, help="Threads, each on one core.", show_default="one a core")
]
Device = Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the networks run.")]
Runtime = Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the networks.")]
MaxMegapixels = Annotated[float, Option(metavar="N", parser=number, help="Refuse images larger than this.")]
Resume = Annotated[bool, Option("--resume", help="Continue a run that was broken off.")]


@app.callback(invoke_without_command=True)
def root(context: typer.Context, help: Help = False) -> None:
    show_help(context, help)


@app.command()
def detect(
    sources: Sources,
    output: Annotated[Path, Option(metavar="DIR", help="Folder for faces.jsonl and annotated copies.")],
    detector: Detector = "face-detector",
    confidence: Annotated[
        float | None,
        Option(metavar="0..1", parser=number, help="Lowest score of a face.", show_default="the model's own"),
    ] = None,
    smallest: Smallest = 20,
    images: Annotated[bool, Option("--images", help="Write annotated copies to DIR/images.")] = False,
    workers: Workers = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    max_megapixels: MaxMegapixels = 100,
    resume: Resume = False,
) -> int:
    """Find faces and their landmarks, and judge how well each can be recognized.

    DIR/faces.jsonl gets one row an image, in the order of the sources (folders by path): box, score, five landmarks and
    quality of every face, with reasons where it is hard to recognize. An image that cannot be read gets a row that says
    why, and the run goes on.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import ImageFolder, Journal
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.detection.base import DetectOptions
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.detector import FaceDetector
    from vision_app.faces.results import Faces

    max_pixels = pixel_limit(max_megapixels)
    finder = FaceDetector.load(detector, device=device, runtime=runtime, threads=1, smallest=smallest)
    options = DetectOptions(confidence).resolved(finder)
    inputs = gather(sources, output, named=images)
    settings = {
        "--detector": f"{detector} {finder.digest[:12]}",
        "--device": finder.device.partition(":")[0],
        "--runtime": finder.runtime,
        "--confidence": options.confidence,
        "--smallest": smallest,
        "--max-megapixels": max_megapixels,
        "--images": images,
    }
    with Journal(output / "faces.jsonl", settings=settings, inputs=inputs, batch_size=1, resume=resume) as journal:
        task = FacesTask(
            lambda image: Faces.of(image, finder(image, options)),
            {"model": finder.name},
            device=finder.device,
            max_pixels=max_pixels,
            pictures=ImageFolder(output / "images") if images else None,
        )
        return run_all(task, journal, workers=workers)


@app.command()
def embed(
    sources: Sources,
    output: Annotated[Path, Option(metavar="FILE.npz", help="File to write; its journal FILE.jsonl lies beside it.")],
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    smallest: Smallest = 20,
    workers: Workers = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    max_megapixels: MaxMegapixels = 100,
    resume: Resume = False,
) -> int:
    """Find faces and turn each into an embedding: numbers that are alike where the person is the same.

    FILE.npz gets one row a face, in the arrays files, boxes, landmarks, quality and embeddings, and the id of the model
    that made the embeddings in contract. It is written when all images are done; until then, FILE.jsonl keeps what is
    done. Embeddings are personal data as photos of the people are; only the owner of both files may read them.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import Journal, read_rows, remove
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.core.errors import UsageError
    from vision_app.core.files import OWNER_ONLY
    from vision_app.faces.batch import FacesTask, write_embeddings
    from vision_app.faces.recognizer import FaceRecognizer

    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: must end in .npz; the nearest valid value is {output}.npz")
    max_pixels = pixel_limit(max_megapixels)
    recognizer = FaceRecognizer.load(
        model, detector=detector, device=device, runtime=runtime, threads=1, smallest=smallest
    )
    inputs = gather(sources, output, named=False)
    settings = {
        "--model": f"{model} {recognizer.model_id}",
        "--detector": f"{detector} {recognizer.detector.digest[:12]}",
        "--device": recognizer.detector.device.partition(":")[0],
        "--runtime": recognizer.detector.runtime,
        "--smallest": smallest,
        "--max-megapixels": max_megapixels,
    }
    path = output.with_suffix(".jsonl")
    run = {"settings": settings, "inputs": inputs, "batch_size": 1, "resume": resume, "permissions": OWNER_ONLY}
    with Journal(path, **run) as journal:
        if journal.rows < len(inputs):
            remove(output)  # it will not hold all faces
        task = FacesTask(
            recognizer,
            {"model": recognizer.detector.name, "contract": recognizer.model_id},
            device=recognizer.detector.device,
            max_pixels=max_pixels,
        )
        code = run_all(task, journal, workers=workers)
        if journal.rows == len(inputs):
            _say_without(read_rows(path))
            dimension = recognizer.embedder.dimension
            write_embeddings(output, read_rows(path), model_id=recognizer.model_id, dimension=dimension)
    return code


def _say_without(rows) -> None:
    """Name the images in which no face was found."""
    from vision_app.cli.progress import FAILURES_SHOWN, printable

    files = [row["file"] for row in rows if row["status"] == "ok" and not row["faces"]]
    for file in files[:FAILURES_SHOWN]:
        typer.echo(f"no face: {printable(file)}", err=True)
    if len(files) > FAILURES_SHOWN:
        typer.echo(f"no face in {len(files):,} images; the rows say in which", err=True)


@app.command()
def verify(
    a: Annotated[str, Argument(metavar="A", help="An image of one face.")],
    b: Annotated[str | None, Argument(metavar="B", help="Another one.", show_default=False)] = None,
    person: Annotated[
        str | None, Option(metavar="NAME", help="Instead of B: somebody who is enrolled in --gallery.")
    ] = None,
    gallery: Annotated[Path | None, Option(metavar="FILE.db", help="The gallery of --person.")] = None,
    far: Annotated[
        float | None,
        Option(
            metavar="RATE",
            parser=number,
            help="False accept rate: how often strangers may pass for one person.",
            show_default="0.001",
        ),
    ] = None,
    largest: Annotated[bool, Option("--largest", help="Take the largest face of an image that shows several.")] = False,
    json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    smallest: Smallest = 20,
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Say whether two images show the same person, or whether one shows somebody who is enrolled.

    The answer is same, different, or uncertain where the similarity is too near to the threshold to tell. The
    similarity is the cosine of two embeddings, -1 to 1, and no probability. The false accept rate says how many of many
    pairs of strangers reach the threshold; people who look alike, such as siblings, reach it more often.

    Exit code: 0 same, 1 different or uncertain, 2 no verdict: no face, more than one, an image, a gallery or a model
    that cannot be used, or wrong usage.
    """
    from vision_app.core.errors import UsageError, VisionAppError
    from vision_app.faces.gallery import Gallery
    from vision_app.faces.recognizer import FaceRecognizer
    from vision_app.faces.results import SAME

    if (b is None) == (person is None) or (person is None) != (gallery is None):
        raise UsageError("give another image B, or --person NAME with --gallery FILE.db")
    recognizer = FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime, smallest=smallest)
    try:
        if person is None:
            answer = recognizer.verify(a, b, far=far, largest=largest)
        else:
            with Gallery.open(gallery, readonly=True, recognizer=recognizer) as opened:
                answer = opened.verify(a, person, far=far, largest=largest)
    except VisionAppError as error:  # 2 whatever it is: 1 says that the faces were compared
        raise UsageError(str(error)) from error
    if json:
        from json import dumps

        other = {"file_b": b} if person is None else {"person": person}
        typer.echo(dumps({"file_a": a, **other, **answer.to_dict()}))
    else:
        typer.echo(f"{answer.verdict}: {_reasoning(answer)}")
        for file, face in ((a, answer.face_a), (b or f"best photo of {person}", answer.face_b)):
            typer.echo(_description(file, face))
    return 0 if answer.verdict == SAME else 1


def _reasoning(answer) -> str:
    """What a verdict rests on."""
    rate = f"threshold {answer.threshold:.3f} at a false accept rate of {answer.far:g}"
    return f"similarity {answer.similarity:.3f}, {rate}, model {answer.model_id}"


def _description(file: str, face) -> str:
    """Which face of a picture was used, and what speaks against it."""
    from vision_app.cli.progress import printable

    left, top, right, bottom = face.box.round().astype(int).tolist()
    against = f", {', '.join(face.quality.reasons)}" if face.quality.reasons else ""
    return f"{printable(file)}: face at {left},{top} to {right},{bottom}{against}"
