"""`vision-app check`: try the data, the losses and the network before a long training."""

from pathlib import Path
from typing import Annotated

from typer import Option


def check(
    data: Annotated[
        Path,
        Option(
            metavar="FILE.json|FILE.yaml|FOLDER",
            help="Photos with boxes: a COCO file, a YOLO data.yaml or a folder of VOC's XML.",
            exists=True,
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Folder for contact sheets and scan.csv.", file_okay=False)],
    model: Annotated[
        Path | None,
        Option(metavar="MODEL|FILE", help="A model's name or folder, or a file of published weights, to start from."),
    ] = None,
    backbone: Annotated[
        str | None,
        Option(metavar="NAME", help="Of a fresh network: csp, residual, inception or shuffle.", show_default="csp"),
    ] = None,
    size: Annotated[int, Option(metavar="N", help="Side of the network's input in pixels.")] = 416,
) -> int:
    """Check what a detector would be trained on and with.

    Four checks: the data is scanned, for missing, corrupt, duplicate, out-of-range and unlabeled entries; the gradients
    of the losses are compared with finite differences; the first batches are drawn with their boxes; and the network
    must learn a few photos by heart, which takes a minute or so.

    Exit code: 0 all is well, 1 a check failed, 2 wrong usage.
    """
    from functools import partial

    from vision_app.core.figures import import_matplotlib

    import_matplotlib()  # before Fabric does, by way of torchmetrics
    from vision_app.detection.train.checks import run_checks
    from vision_app.detection.train.options import DetectionOptions

    say, passed = partial(print, flush=True), []
    for found in run_checks(data, output, DetectionOptions(size=size, backbone=backbone), initial=model, log=say):
        say(found)
        passed.append(found.passed)
    if all(passed):
        say(f"all {len(passed)} checks passed; pictures are in {output}")
        return 0
    say(f"{passed.count(False)} of {len(passed)} checks failed; see {output}")
    return 1
