"""What a visitor can take home: annotated pictures and tables, made in memory when asked for."""

import base64
import io
import json
import zipfile
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from vision_app import Detections, draw, read_image
from vision_app.batch.sinks import write_table
from vision_app.core.errors import ImageError
from vision_app.core.images import WRITERS
from vision_app.detection.batch import CSV_COLUMNS, csv_lines
from vision_app.ui.pictures import Picture

Answer = tuple[Picture, Detections | ImageError]


def row(picture: Picture, found: Detections | ImageError, model: str) -> dict:
    """Return the picture's row as `vision-app detect` writes it to detections.jsonl."""
    if isinstance(found, ImageError):
        nothing = {"width": None, "height": None, "model": model, "detections": []}
        return {"file": picture.name, "status": "failed", "error": found.reason, **nothing}
    return {"file": picture.name, "status": "ok", "error": None, **found.to_dict()}


def table(rows: Iterable[dict]) -> str:
    """Return the CSV table that `vision-app detect --csv` writes, one line an object."""
    text = io.StringIO(newline="")
    write_table(text, CSV_COLUMNS, rows, csv_lines)
    return text.getvalue()


def annotated(picture: Picture, detections: Detections, suffix: str) -> bytes:
    """Return the picture at its full size with the boxes drawn on it, as a file of the kind that `suffix` names."""
    return encoded(draw(read_image(picture.data, name=picture.name), detections), suffix)


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    """Return an image file of the kind that `suffix` names; `pixels` are (H, W, 3) uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **WRITERS[suffix])
    return buffer.getvalue()


def data_url(content: bytes, mime: str) -> str:
    """Return an address that holds a file's content itself."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def archive(answers: Sequence[Answer], model: str) -> bytes:
    """Return a ZIP file with the rows, the table and the pictures that `vision-app detect --csv --images` writes.

    A picture too wide for a JPEG has its row, but no copy.
    """
    buffer = io.BytesIO()
    rows = [row(*answer, model) for answer in answers]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("detections.jsonl", "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows))
        files.writestr("detections.csv", table(rows))
        for picture, found in answers:
            if isinstance(found, Detections):
                try:
                    content = annotated(picture, found, ".jpg")
                except OSError:  # a JPEG has at most 65,500 pixels a side
                    continue
                files.writestr(f"images/{picture.name}.jpg", content, zipfile.ZIP_STORED)
    return buffer.getvalue()
