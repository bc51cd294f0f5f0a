"""Rows of COCO-style files for tests, and a file of them with photos of 64 x 48 pixels."""

import json

from image_files import quadrants
from PIL import Image

CATEGORIES = [{"id": 3, "name": "sofa"}, {"id": 7, "name": "dog"}]


def image(number, **changes):
    return {"id": number, "file_name": f"{number}.png", "width": 64, "height": 48} | changes


def annotation(image_id, bbox, **changes):
    return {"id": 100 + image_id, "image_id": image_id, "category_id": 7, "bbox": bbox} | changes


def write_coco(folder, images, annotations=(), categories=CATEGORIES, photos=True):
    """Write a COCO-style file and a photo for each of its images; returns its path."""
    (folder / "images").mkdir(exist_ok=True)
    for row in images if photos else ():
        Image.fromarray(quadrants()).save(folder / "images" / row["file_name"])
    path = folder / "boxes.json"
    content = {"images": list(images), "annotations": list(annotations), "categories": list(categories)}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
