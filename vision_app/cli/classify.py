"""`vision-app classify`: say which classes images and folders of images show."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vision_app.cli.options import number, positive_int


def classify(
    sources: Annotated[
        list[str],
        Argument(metavar="SOURCE", help="Images, folders (with all their sub-folders) and quoted glob patterns."),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Folder for classes.jsonl.")],
    model: Annotated[
        str, Option(metavar="NAME", help="A released model, or the path of a model folder or exported file.")
    ] = "classifier",
    top: Annotated[
        int | None,
        Option(metavar="N", parser=positive_int, help="Classes a row, the most probable ones.", show_default="all"),
    ] = None,
    localize: Annotated[bool, Option("--localize", help="Add the box of the best object to each row.")] = False,
    batch_size: Annotated[
        int | None, Option(metavar="N", parser=positive_int, help="Images a batch.", show_default="8, or 32 on a GPU")
    ] = None,
    workers: Annotated[
        int | None,
        Option(metavar="N", parser=positive_int, help="Threads, each on one core.", show_default="one a core"),
    ] = None,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the network runs.")] = "auto",
    runtime: Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the network.")] = "auto",
    max_megapixels: Annotated[float, Option(metavar="N", parser=number, help="Refuse images larger than this.")] = 100,
    resume: Annotated[bool, Option("--resume", help="Continue a run that was broken off.")] = False,
) -> int:
    """Say which classes images show.

    DIR/classes.jsonl gets one row an image, in the order of the sources (folders by path): each class and how probable
    it is that the image shows it, the most probable first. With --localize, `box` is where the best object of the first
    class is, or null where no class is probable enough. An image that cannot be read gets a row that says why, and the
    run goes on.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import Journal
    from vision_app.classification.batch import ClassifyTask
    from vision_app.classification.classifier import Classifier
    from vision_app.cli.batch import gather, pixel_limit, run_all

    max_pixels = pixel_limit(max_megapixels)
    classifier = Classifier.load(model, device=device, runtime=runtime, threads=1)
    inputs = gather(sources, output, named=False)
    settings = {
        "--model": f"{model} {classifier.digest[:12]}",
        "--device": classifier.device.partition(":")[0],
        "--runtime": classifier.runtime,
        "--top": top,
        "--localize": localize,
        "--max-megapixels": max_megapixels,
    }
    batch_size = batch_size or (8 if classifier.device == "cpu" else 32)
    path = output / "classes.jsonl"
    with Journal(path, settings=settings, inputs=inputs, batch_size=batch_size, resume=resume) as journal:
        task = ClassifyTask(classifier, top=top, localize=localize, max_pixels=max_pixels)
        return run_all(task, journal, workers=workers)
