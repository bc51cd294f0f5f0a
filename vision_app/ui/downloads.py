"""Downloads: annotated images and tables, made in memory on demand."""

import base64
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vision_app import Detections, draw, read_image
from vision_app.batch.sinks import write_table
from vision_app.core.errors import ImageError
from vision_app.core.images import save_image
from vision_app.detection.batch import CSV_COLUMNS, csv_lines
from vision_app.ui.images import ImageFile, decoding

Answer = tuple[ImageFile, Detections | ImageError]


def row(image: ImageFile, found: Detections | ImageError, model: str) -> dict[str, Any]:
    """Return the row of an image as `vision-app detect` writes it to detections.jsonl."""
    if isinstance(found, ImageError):
        nothing: dict[str, Any] = {"width": None, "height": None, "model": model, "detections": []}
        return {"file": image.name, "status": "failed", "error": found.reason, **nothing}
    return {"file": image.name, "status": "ok", "error": None, **found.to_dict()}


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the CSV table that `vision-app detect --csv` writes, one line per object."""
    text = io.StringIO(newline="")
    write_table(text, CSV_COLUMNS, (line for row in rows for line in csv_lines(row)))
    return text.getvalue()


def annotated(image: ImageFile, detections: Detections, suffix: str) -> bytes:
    """Return the image at full size with its boxes, as a file of the kind that `suffix` names."""
    with decoding(image):
        return encoded(draw(read_image(image.data, name=image.name), detections), suffix)


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    """Return an image file of the kind that `suffix` names; `pixels` are (H, W, 3) or (H, W, 4) uint8."""
    buffer = io.BytesIO()
    save_image(pixels, buffer, suffix)
    return buffer.getvalue()


def data_url(content: bytes, mime: str) -> str:
    """Return a URL that contains the content of a file."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def archive(answers: Sequence[Answer], model: str) -> bytes:
    """Return a ZIP file with the rows, the table and the images that `vision-app detect --csv --images` writes.

    An image too wide for a JPEG has a row but no copy.
    """
    buffer = io.BytesIO()
    rows = [row(*answer, model) for answer in answers]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("detections.jsonl", "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows))
        files.writestr("detections.csv", table(rows))
        for image, found in answers:
            if isinstance(found, Detections):
                try:
                    content = annotated(image, found, ".jpg")
                except OSError:  # a JPEG has at most 65,500 pixels a side
                    continue
                files.writestr(f"images/{image.name}.jpg", content, zipfile.ZIP_STORED)
    return buffer.getvalue()
