"""`vision-app detect`: find the objects in images and folders of images."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vision_app.cli.options import number, positive_int


def detect(
    sources: Annotated[
        list[str],
        Argument(metavar="SOURCE", help="Images, folders (with all their sub-folders) and quoted glob patterns."),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Folder for detections.jsonl and all other results.")],
    model: Annotated[
        str,
        Option(
            metavar="NAME",
            help="A released model, the path of a model folder or exported file, or torchvision:NAME, fetched at first "
            "use; several joined by + answer as one.",
        ),
    ] = "yolo",
    tta: Annotated[
        bool,
        Option("--tta", help="Look at each image six times, in 3 sizes and mirrored: slower, finds more with yolo."),
    ] = False,
    confidence: Annotated[
        float | None,
        Option(
            metavar="0..1",
            parser=number,
            help="Lowest score of an object. Each model has a default of its own, which `models info` shows.",
            show_default="the model's own",
        ),
    ] = None,
    iou: Annotated[
        float | None,
        Option(
            metavar="0..1",
            parser=number,
            help="Overlap from which two boxes are one object.",
            show_default="the model's own",
        ),
    ] = None,
    classes: Annotated[
        str | None, Option(metavar="A,B,...", help="Keep these classes only, e.g. person,dog.", show_default="all")
    ] = None,
    max_detections: Annotated[
        int | None,
        Option(metavar="N", parser=positive_int, help="Most objects an image.", show_default="the model's own"),
    ] = None,
    agnostic_nms: Annotated[
        bool, Option("--agnostic-nms", help="Let boxes of different classes suppress each other.")
    ] = False,
    csv: Annotated[bool, Option("--csv", help="Write detections.csv too, one line an object.")] = False,
    images: Annotated[bool, Option("--images", help="Write annotated copies to DIR/images.")] = False,
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
    """Find objects in images.

    DIR/detections.jsonl gets one row an image, in the order of the sources (folders by path). An image that cannot be
    read gets a row that says why, and the run goes on.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import ImageFolder, Journal, read_rows, remove, write_csv
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.detection.base import DetectOptions
    from vision_app.detection.batch import CSV_COLUMNS, DetectTask, csv_lines
    from vision_app.detection.load import load_detector

    max_pixels = pixel_limit(max_megapixels)
    names = None if classes is None else tuple(name.strip() for name in classes.split(","))
    detector = load_detector(model, device=device, runtime=runtime, threads=1, tta=tta)
    options = DetectOptions(confidence, iou, names, max_detections, agnostic_nms).resolved(detector)
    inputs = gather(sources, output, named=images)
    settings = {
        "--tta": tta,  # named before the digest, which tells nobody what changed
        "--model": f"{model} {detector.digest[:12]}",
        "--device": detector.device.partition(":")[0],
        "--runtime": detector.runtime,
        "--confidence": options.confidence,
        "--iou": options.iou,
        "--classes": options.classes,
        "--max-detections": options.max_detections,
        "--agnostic-nms": options.agnostic,
        "--max-megapixels": max_megapixels,
        "--images": images,
    }
    batch_size = batch_size or (8 if detector.device == "cpu" else 32)
    path, table = output / "detections.jsonl", output / "detections.csv"
    with Journal(path, settings=settings, inputs=inputs, batch_size=batch_size, resume=resume) as journal:
        if journal.rows < len(inputs):
            remove(table)  # it will not show all rows
        pictures = ImageFolder(output / "images") if images else None
        task = DetectTask(detector, options, max_pixels=max_pixels, pictures=pictures)
        code = run_all(task, journal, workers=workers)
        if csv and journal.rows == len(inputs):
            write_csv(table, CSV_COLUMNS, (line for row in read_rows(path) for line in csv_lines(row)))
    return code
