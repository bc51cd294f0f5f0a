"""`vision-app detect` and `classify`: find the objects in images, and say which classes images show."""

from collections.abc import Sequence
from pathlib import Path

from vision_app.cli.batch import default_batch_size, gather, run_batch, runtime_settings
from vision_app.cli.options import DETECTION_MODEL, ONE_THREAD, Batch, Text, output_folder, positive_int, with_options
from vision_app.core.errors import UsageError
from vision_app.released.execution import Execution
from vision_app.released.names import CLASSIFIER, DETECTOR


@with_options(
    execution=ONE_THREAD,
    output=output_folder("Folder for detections.jsonl and all other results."),
    model=DETECTION_MODEL,
    classes=Text("A,B,...", "Keep these classes only, by name or id: person,dog or 0,16.", show_default="all"),
    agnostic_nms=Text("", "Let boxes of different classes suppress each other."),
    csv=Text("", "Also write detections.csv, one line per object."),
)
def detect(
    execution: Execution,
    batch: Batch,
    sources: list[str],
    output: Path,
    model: str = DETECTOR,
    tta: bool = False,
    confidence: float | None = None,
    iou: float | None = None,
    classes: str | None = None,
    max_detections: int | None = None,
    agnostic_nms: bool = False,
    csv: bool = False,
    images: bool = False,
    batch_size: int | None = None,
) -> int:
    """Detect objects in images.

    DIR/detections.jsonl gets one row per image, in the order of the sources (folders by path). An image that cannot be
    read gets a row that says why, and the others are processed.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import ImageFolder, image_path, write_csv
    from vision_app.detection.base import DetectOptions
    from vision_app.detection.batch import CSV_COLUMNS, DetectTask, csv_lines
    from vision_app.detection.load import load_detector

    detector = load_detector(model, tta=tta, **vars(execution))
    names = None if classes is None else _class_names(classes, detector.classes)
    options = DetectOptions(confidence, iou, names, max_detections, agnostic_nms).resolved(detector)
    settings = {
        "--tta": tta,  # named before the digest, which tells nobody what changed
        "--model": f"{model} {detector.digest[:12]}",
        **runtime_settings(detector),
        "--confidence": options.confidence,
        "--iou": options.iou,
        "--classes": options.classes,
        "--max-detections": options.max_detections,
        "--agnostic-nms": options.agnostic,
        **batch.limit_settings,
        "--images": images,
    }
    table, folder = output / "detections.csv", output / "images"
    inputs = gather(sources, output, named=images, made=".jpg")

    def make_task() -> DetectTask:
        copies = ImageFolder(folder) if images else None
        return DetectTask(detector, options, limits=batch.limits, copies=copies)

    return run_batch(
        make_task,
        output / "detections.jsonl",
        inputs=inputs,
        settings=settings,
        batch_size=batch_size or default_batch_size(detector),
        options=batch,
        product=table,
        images=(image_path(folder, item.name) for item in inputs if images),
        finish=(lambda rows: write_csv(table, CSV_COLUMNS, (line for row in rows for line in csv_lines(row))))
        if csv
        else None,
    )


def _class_names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Parse names and ids of classes with commas between them.

    Raises:
        UsageError: An id is too large. Names are checked with the other options.
    """
    names = []
    for word in map(str.strip, text.split(",")):
        if word in known or not word.isdecimal():
            names.append(word)
        elif int(word) < len(known):
            names.append(known[int(word)])
        else:
            raise UsageError(f"--classes {word}: must lie between 0 and {len(known) - 1}, or be a name")
    return tuple(names)


@with_options(
    execution=ONE_THREAD,
    output=output_folder("Folder for classes.jsonl."),
    top=Text("N", "Report only the N most probable classes.", parser=positive_int, show_default="all"),
    localize=Text("", "Add the box of the best object to each row."),
)
def classify(
    execution: Execution,
    batch: Batch,
    sources: list[str],
    output: Path,
    model: str = CLASSIFIER,
    top: int | None = None,
    localize: bool = False,
    batch_size: int | None = None,
) -> int:
    """Classify whole images.

    DIR/classes.jsonl gets one row per image, in the order of the sources (folders by path): each class with the
    probability that the image shows it, the most probable first. With --localize, `box` is where the best object of
    the first class is, or null where no class is probable enough. An image that cannot be read gets a row that says
    why, and the others are processed.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.classification.batch import ClassifyTask
    from vision_app.classification.classifier import Classifier

    classifier = Classifier.load(model, **vars(execution))
    settings = {
        "--model": f"{model} {classifier.digest[:12]}",
        **runtime_settings(classifier),
        "--top": top,
        "--localize": localize,
        **batch.limit_settings,
    }
    return run_batch(
        lambda: ClassifyTask(classifier, top=top, localize=localize, limits=batch.limits),
        output / "classes.jsonl",
        inputs=gather(sources, output, named=False),
        settings=settings,
        batch_size=batch_size or default_batch_size(classifier),
        options=batch,
    )
