"""Write the folder of a comparison: tables, plots, images with boxes and the report that shows them all."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from vision_app.batch.sinks import ImageFolder, write_csv, write_text, writing
from vision_app.batch.sources import Input
from vision_app.core.draw import draw
from vision_app.core.errors import ImageError
from vision_app.core.figures import save_figure
from vision_app.core.images import RGBImage, read_image
from vision_app.detection.compare.measure import CRASHED, Run
from vision_app.detection.compare.report import DetectorView, ImageCard, about, plot_accuracy, plot_stages, render
from vision_app.detection.compare.table import (
    Counts,
    DetectorSummary,
    Rows,
    agreements,
    counts_to_dict,
    csv_rows,
    to_detections,
)

RESULTS = "report.html", "comparison.json", "comparison.csv", "accuracy.png", "stages.png", "images", "thumbnails"
LARGE, SMALL = 1600, 480  # pixels on the long side of a copy and of its thumbnail in the report


def write_comparison(
    folder: Path,
    lines: Sequence[DetectorSummary],
    rows: Mapping[str, Rows],
    inputs: Sequence[Input],
    settings: dict[str, Any],
    run: Run,
    *,
    shown: int,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Write `comparison.json`, `comparison.csv`, plots, images and `report.html`.

    Args:
        folder: Exists already.
        lines: The detectors, the one that others are compared with first.
        rows: Those of each detector, by name.
        inputs: The images.
        settings: What the results depend on.
        run: Where and with which ground truth.
        shown: Number of images of which the report shows copies, the first ones.
        report: Called after every image that was drawn.

    Raises:
        OutputError: Something could not be written.
    """
    first, *others = rows
    shared = {name: list(agreements(rows[first], rows[name])) for name in others}
    pictures = [
        {"file": item.file, "agreement": {name: counts_to_dict(each) for name, each in _counts(shared, i).items()}}
        for i, item in enumerate(inputs)
    ]
    models = [line.to_dict() for line in lines]
    content = {"settings": settings, "run": asdict(run), "models": models, "pictures": pictures}
    write_text(folder / "comparison.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    table = csv_rows(lines)
    write_csv(folder / "comparison.csv", list(table[0]), [list(row.values()) for row in table])
    notes = about(lines, run)
    if shown < len(inputs):
        notes.append(f"Of {len(inputs):,} images, the first {shown:,} are shown.")
    cards = _cards(folder, rows, shared, inputs[:shown], report)
    write_text(folder / "report.html", render(lines, write_plots(folder, lines), cards, notes))


def write_plots(folder: Path, lines: Sequence[DetectorSummary]) -> list[tuple[str, str]]:
    """Write the plots that have something to show, and return the file's name and a description of each.

    Raises:
        OutputError: Something could not be written.
    """
    wanted = []
    if any(line.ap50 is not None for line in lines):
        wanted.append((plot_accuracy, "accuracy.png", "AP50 by milliseconds per image"))
    if any(line.milliseconds for line in lines):
        wanted.append((plot_stages, "stages.png", "Share of each stage in the time of an image"))
    for plot, name, _ in wanted:
        with writing(folder / name):
            save_figure(plot(lines), folder / name)
    return [(name, text) for _, name, text in wanted]


def _cards(
    folder: Path,
    rows: Mapping[str, Rows],
    shared: Mapping[str, Sequence[Counts | None]],
    inputs: Sequence[Input],
    report: Callable[[], None],
) -> Iterator[ImageCard]:
    """Draw the objects that each detector found in each image."""
    slugs = {name: re.sub(r"[^\w.+-]+", "-", name).strip("-.") for name in rows}  # the names as those of folders
    places = {name: f"{number}-{slug}" for number, (name, slug) in enumerate(slugs.items(), start=1)}
    large = {name: ImageFolder(_made(folder / "images") / place) for name, place in places.items()}
    small = {name: ImageFolder(_made(folder / "thumbnails") / place) for name, place in places.items()}
    for i, item in enumerate(inputs):
        views = []
        own = {name: each[i] for name, each in rows.items() if i < len(each)}
        try:
            if own and all(row["error"] == CRASHED for row in own.values()):  # reading it may end this process, too
                raise ImageError(item.file, CRASHED)
            image = _shrunk(read_image(item.file, target=LARGE), LARGE)
            for name, row in own.items():
                if row["status"] != "ok":
                    continue
                found = to_detections(row)
                large[name].write(item.name, draw(image, found))
                small[name].write(item.name, draw(_shrunk(image, SMALL), found))
                place = quote(os.fsencode(f"{places[name]}/{item.name}.jpg"))
                source, link = f"thumbnails/{place}", f"images/{place}"
                counts = _counts(shared, i).get(name)
                views.append(DetectorView(name, source, link, found.count(), row["milliseconds"], counts))
        except ImageError as error:
            yield ImageCard(item.file, error=error.reason)
        else:
            yield ImageCard(item.file, tuple(views))
        report()


def _counts(shared: Mapping[str, Sequence[Counts | None]], i: int) -> dict[str, Counts]:
    """Return the agreements on image i, by the name of the second detector."""
    return {name: counts for name, each in shared.items() if i < len(each) and (counts := each[i])}


def _shrunk(image: RGBImage, side: int) -> RGBImage:
    """Return the image with at most so many pixels on its long side."""
    small = Image.fromarray(image.pixels)
    small.thumbnail((side, side))
    return RGBImage(np.asarray(small), image.width, image.height)


def _made(folder: Path) -> Path:
    with writing(folder):
        folder.mkdir(exist_ok=True)
    return folder
