"""What a visitor can take home: annotated pictures and tables, made in memory when asked for."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence

from PIL import Image

from vision_app import Detections, draw, read_image
from vision_app.detection.task import CSV_COLUMNS, csv_lines
from vision_app.ui.pictures import Picture

Found = tuple[Picture, Detections]


def row(picture: Picture, detections: Detections) -> dict:
    """Return the picture's row as `vision-app detect` writes it to detections.jsonl."""
    return {"file": picture.name, "status": "ok", "error": None, **detections.to_dict()}


def table(found: Sequence[Found]) -> str:
    """Return the CSV table that `vision-app detect --csv` writes, one line an object."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for each in found:
        writer.writerows(csv_lines(row(*each)))
    return text.getvalue()


def png(picture: Picture, detections: Detections) -> bytes:
    """Return the picture at its full size with the boxes drawn on it, as a PNG file."""
    buffer = io.BytesIO()
    annotated = draw(read_image(picture.data, name=picture.name), detections)
    Image.fromarray(annotated).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def archive(found: Sequence[Found]) -> bytes:
    """Return a ZIP file laid out like the folder that `vision-app detect --csv --images` writes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as files:
        rows = [json.dumps(row(*each), ensure_ascii=False) + "\n" for each in found]
        files.writestr("detections.jsonl", "".join(rows))
        files.writestr("detections.csv", table(found))
        for picture, detections in found:
            files.writestr(f"images/{picture.name}.png", png(picture, detections), zipfile.ZIP_STORED)
    return buffer.getvalue()
