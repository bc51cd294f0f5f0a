"""`vision-app evaluate classifier`: how well a model tells which classes photos show."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from typer import Option


def classifier(
    data: Annotated[
        Path,
        Option(
            metavar="FILE.json|FILE.yaml|FOLDER", help="Boxes as COCO, YOLO or PASCAL VOC writes them.", exists=True
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="New folder for figures and rows.", file_okay=False)],
    split: Annotated[
        str | None,
        Option(metavar="NAME", help="The part of the data to take.", show_default="val, or else test, or else all"),
    ] = None,
    model: Annotated[
        str, Option(metavar="NAME", help="A released model, a model folder or an ONNX file.")
    ] = "classifier",
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the network runs.")] = "auto",
    runtime: Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the network.")] = "auto",
) -> int:
    """Measure a classifier.

    DIR gets evaluation.json and classes.csv: for each class, the average precision of the ranking of photos by its
    probability, and their mean (mAP); and how often the box of the best object is right. A photo that shows no more of
    a class than difficult objects does not count for it. A class that no photo shows, or every one that counts, has no
    average precision.

    Exit code: 0 measured, 1 the data or some of its photos cannot be used, 2 wrong usage.
    """
    from vision_app.batch.sinks import read_rows
    from vision_app.classification.batch import ClassifyTask
    from vision_app.classification.classifier import Classifier
    from vision_app.classification.evaluate.evaluation import evaluate
    from vision_app.classification.evaluate.report import summary, write_report
    from vision_app.cli.evaluate import check_classes, check_empty, load_truth, write_rows

    check_empty(output)
    found = Classifier.load(model, device=device, runtime=runtime, threads=1)
    truth, split = load_truth(data, split)
    check_classes(found, truth, data)
    rows = output / "classes.jsonl"
    with ExitStack() as failed:
        files = [str(sample.path) for sample in truth.samples]
        write_rows(ClassifyTask(found, localize=True), found, files, rows, failed, {"--localize": True})
        failed.pop_all()
    evaluation = evaluate(truth, list(read_rows(rows)))
    print(f"{found.name} on {data}" + (f", {split}" if split else ""))
    for line in summary(evaluation):
        print(line)
    write_report(evaluation, output, {"data": str(data), "split": split, "model": found.name})
    print(f"\nfigures and rows are in {output}")
    return 0
