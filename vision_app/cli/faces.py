"""`vision-app faces detect`, `embed` and `verify`: find faces, embed them and compare two."""

from collections.abc import Callable, Iterable
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.batch.sources import Input
from vision_app.cli.batch import gather, run_batch, runtime_settings
from vision_app.cli.commands import group_of_commands
from vision_app.cli.options import FACE_MODELS, ONE_THREAD, Batch, FaceModels, Text, output_folder, with_options
from vision_app.cli.progress import FAILURES_SHOWN
from vision_app.cli.terminal import say
from vision_app.core.errors import UsageError, VisionAppError
from vision_app.core.files import OWNER_ONLY
from vision_app.core.text import printable
from vision_app.released.execution import Execution
from vision_app.released.names import FACE_DETECTOR

if TYPE_CHECKING:
    from vision_app.faces.recognizer import FaceRecognizer
    from vision_app.faces.results import Face

app = group_of_commands("Detect faces, compare them and recognize people.")


@app.command()
@with_options(execution=ONE_THREAD, output=output_folder("Folder for faces.jsonl and annotated copies."))
def detect(
    execution: Execution,
    batch: Batch,
    sources: list[str],
    output: Path,
    detector: str = FACE_DETECTOR,
    confidence: float | None = None,
    smallest: float = FaceModels.smallest,
    images: bool = False,
) -> int:
    """Detect faces and their landmarks, and rate how well each can be recognized.

    DIR/faces.jsonl gets one row per image, in the order of the sources (folders by path): box, score, five landmarks
    and quality of every face, with reasons where it is hard to recognize. An image that cannot be read gets a row that
    says why, and the others are processed.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import ImageFolder, image_path
    from vision_app.detection.base import DetectOptions
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.detector import FaceDetector
    from vision_app.faces.results import Faces

    finder = FaceDetector.load(detector, smallest=smallest, **vars(execution))
    options = DetectOptions(confidence).resolved(finder)
    settings = {
        "--detector": f"{detector} {finder.digest[:12]}",
        **runtime_settings(finder),
        "--confidence": options.confidence,
        "--smallest": smallest,
        **batch.limit_settings,
        "--images": images,
    }

    def make_task() -> FacesTask:
        return FacesTask(
            lambda image: Faces.of(image, finder(image, options), finder.checker),
            {"model": finder.name},
            device=finder.device,
            limits=batch.limits,
            copies=ImageFolder(folder) if images else None,
        )

    inputs, folder = gather(sources, output, named=images, made=".jpg"), output / "images"
    copies = (image_path(folder, item.name) for item in inputs if images)
    return run_batch(make_task, output / "faces.jsonl", inputs=inputs, settings=settings, options=batch, images=copies)


@app.command()
@with_options(
    execution=ONE_THREAD,
    output=Text("FILE.npz", "File to write; its journal FILE.jsonl lies beside it."),
    models=FACE_MODELS,
)
def embed(models: FaceModels, execution: Execution, batch: Batch, sources: list[str], output: Path) -> int:
    """Turn each face into an embedding: a vector that is similar for photos of the same person.

    FILE.npz gets one row per face, in the arrays files, boxes, landmarks, quality and embeddings, and the model id of
    the embeddings in contract. It is written when all images are done; until then, FILE.jsonl keeps what is done.
    Embeddings are personal data just as photos are; only the owner of both files can read them.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.journal import read_rows
    from vision_app.faces.batch import write_embeddings

    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: must end in .npz; the nearest valid value is {output}.npz")
    recognizer = load_recognizer(models, execution)
    path, dimension = output.with_suffix(".jsonl"), recognizer.embedder.dimension

    def finish(rows: Iterable[dict[str, Any]]) -> None:
        _name_images_without_faces(read_rows(path))
        write_embeddings(output, rows, model_id=recognizer.model_id, dimension=dimension)

    return embed_images(recognizer, models, batch, gather(sources, output, named=False), path, output, finish)


def _name_images_without_faces(rows: Iterable[dict[str, Any]]) -> None:
    """Name the images in which no face was found."""
    files = [row["file"] for row in rows if row["status"] == "ok" and not row["faces"]]
    for file in files[:FAILURES_SHOWN]:
        say(f"no face: {printable(file)}", err=True)
    if len(files) > FAILURES_SHOWN:
        say(f"no face in {len(files):,} images; the rows say in which", err=True)


@app.command()
@with_options(
    a=Text("A", "An image of one face.", argument=True),
    b=Text("B", "Another image of one face.", argument=True, show_default=False),
    person=Text("NAME", "Compare A with this person of --gallery instead of B."),
    gallery=Text("FILE.db", "Gallery in which --person is enrolled."),
    far=Text("RATE", "False accept rate: how often two strangers may pass for one person.", show_default="0.001"),
    json=Text("", "Print one JSON object."),
    models=FACE_MODELS,
)
def verify(
    models: FaceModels,
    execution: Execution,
    a: str,
    b: str | None = None,
    person: str | None = None,
    gallery: Path | None = None,
    far: float | None = None,
    largest: bool = False,
    json: bool = False,
) -> int:
    """Tell whether two images show the same person, or whether an image shows an enrolled person.

    The answer is same, different, or uncertain where the similarity is too close to the threshold or a face is hard to
    recognize (too small, blurred, covered and so on): the rates do not hold for such a face. The similarity is
    the cosine of the two embeddings, from -1 to 1; it is not a probability. The false accept rate is the share of many
    pairs of strangers that reach the threshold; people who look alike, such as siblings, reach it more often.

    Exit code: 0 same, 1 different or uncertain, 2 no verdict: no face, more than one, an image, a gallery or a model
    that cannot be used, or wrong usage.
    """
    from vision_app.faces.gallery import Gallery

    if (b is None) == (person is None) or (person is None) != (gallery is None):
        raise UsageError("give another image B, or --person NAME with --gallery FILE.db")
    recognizer = load_recognizer(models, execution)
    try:
        if b is not None:
            answer = recognizer.verify(a, b, far=far, largest=largest)
        else:
            assert gallery is not None and person is not None
            with Gallery.open(gallery, readonly=True, recognizer=recognizer) as opened:
                answer = opened.verify(a, person, far=far, largest=largest)
    except VisionAppError as error:  # 2 whatever it is: 1 says that the faces were compared
        raise UsageError(str(error)) from error
    if json:
        other = {"file_b": b} if person is None else {"person": person}
        say(dumps({"file_a": a, **other, **answer.to_dict()}))
    else:
        basis = f"threshold {answer.threshold:.3f} at a false accept rate of {answer.far:g}, model {answer.model_id}"
        why = "" if answer.face_a.is_fit and answer.face_b.is_fit else " (a face is hard to recognize)"
        if answer.is_close:
            why = " (too close to tell: different below {:.3f}, same from {:.3f})".format(*answer.band)
        say(f"{answer.verdict}{why}: similarity {answer.similarity:.3f}, {basis}")
        for file, face in ((a, answer.face_a), (b or f"best photo of {person}", answer.face_b)):
            say(_description(file, face))
    return 0 if answer.same else 1


def _description(file: str, face: "Face") -> str:
    """Return which face of an image was used, and why it is hard to recognize."""
    from vision_app.faces.reasons import advice, problem

    left, top, right, bottom = face.box.round().astype(int).tolist()
    place, quality = f"{printable(file)}: face at {left},{top} to {right},{bottom}", face.quality
    if face.is_fit:
        return place
    return f"{place}, {', '.join(quality.reasons)}: it is {problem(quality)}. {advice(quality)}."


def load_recognizer(models: FaceModels, execution: Execution) -> "FaceRecognizer":
    """Load a recognizer."""
    from vision_app.faces.recognizer import FaceRecognizer

    return FaceRecognizer.load(models.model, detector=models.detector, smallest=models.smallest, **vars(execution))


def embed_images(
    recognizer: "FaceRecognizer",
    models: FaceModels,
    batch: Batch,
    inputs: list[Input],
    path: Path,
    product: Path,
    finish: Callable[[Iterable[dict[str, Any]]], None],
) -> int:
    """Embed all faces of images into rows that only their owner can read; see `run_batch`."""
    from vision_app.faces.batch import FacesTask

    finder = recognizer.detector
    about = {"model": finder.name, "contract": recognizer.model_id}
    return run_batch(
        lambda: FacesTask(recognizer, about, device=finder.device, limits=batch.limits),
        path,
        inputs=inputs,
        settings=recognizer_settings(recognizer, models, batch),
        options=batch,
        permissions=OWNER_ONLY,
        product=product,
        finish=finish,
    )


def recognizer_settings(recognizer: "FaceRecognizer", models: FaceModels, batch: Batch) -> dict[str, Any]:
    """Return what the rows depend on, by flag."""
    return {
        "--model": f"{models.model} {recognizer.model_id}",
        "--detector": f"{models.detector} {recognizer.detector.digest[:12]}",
        **runtime_settings(recognizer.detector),
        "--smallest": models.smallest,
        **batch.limit_settings,
    }
