"""Sets of drawn photos: gray ones with red and blue rectangles in every format."""

import json
from zlib import crc32

import numpy as np
from PIL import Image

from vision_app.faces.align import LANDMARKS

COLORS = ((250, 0, 0), (0, 60, 250))
WIDTH, HEIGHT = 120, 90


def draw(path, boxes, seed):
    """Write a photo of faint noise, different for every seed, with a rectangle for each (label, x1, y1, x2, y2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(50, 70, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for label, x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = COLORS[label]
    Image.fromarray(pixels).save(path)


def random_boxes(seed, count=2):
    """Boxes of both classes anywhere in the photo."""
    generator = np.random.default_rng(seed)
    corners, sizes = generator.integers(0, (60, 40), (count, 2)), generator.integers(20, 50, (count, 2))
    return [(i % 2, *corner, *(corner + size)) for i, (corner, size) in enumerate(zip(corners, sizes, strict=True))]


def coco(folder, photos=3, boxes=3, names=("motorbike",), **changes):
    """Write photos with `boxes` similar red rectangles and a crowd in the corner each; returns the COCO file."""
    content = {"images": [], "annotations": [], "categories": [{"id": 7 + i, "name": n} for i, n in enumerate(names)]}
    for i in range(photos):
        draw(folder / "images" / f"{i}.png", [(0, 30, 20, 80, 60)], seed=crc32(f"{folder} {i}".encode()))
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT})
        rows = [{"bbox": [30 - k, 20, 50 + k, 40]} for k in range(boxes)] + [{"bbox": [0, 0, 9, 9], "iscrowd": 1}]
        content["annotations"] += [{"id": 10 * i + k, "image_id": i, "category_id": 7, **r} for k, r in enumerate(rows)]
    path = folder / "boxes.json"
    path.write_text(json.dumps(content | changes))
    return path


def yolo(folder, splits=(("train", 6), ("val", 2)), names=("screw", "nut")):
    """Write photos and labels of two classes; returns the data.yaml."""
    lines = []
    for split, count in splits:
        for i in range(count):
            seed = crc32(f"{split} {i}".encode())
            boxes = random_boxes(seed)
            draw(folder / "images" / split / f"{i}.png", boxes, seed)
            rows = [
                f"{label} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}"
                for label, x1, y1, x2, y2 in boxes
            ]
            labels = folder / "labels" / split / f"{i}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("\n".join(rows) + "\n")
        lines.append(f"{split}: images/{split}")
    path = folder / "data.yaml"
    path.write_text("\n".join([*lines, f"names: [{', '.join(names)}]"]) + "\n")
    return path


def face_set(folder, name="face", keypoints=LANDMARKS):
    """Write two photos with a face and its keypoints each; returns the COCO file."""
    (folder / "images").mkdir(parents=True)
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(2)]
    for image in images:
        pixels = np.random.default_rng(image["id"]).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / image["file_name"])
    points = [value for i in range(len(keypoints)) for value in (20 + 5 * i, 30, 2)]
    rows = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 40, 44], "keypoints": points} for i in range(2)]
    category = {"id": 1, "name": name, "keypoints": list(keypoints)}
    (folder / "faces.json").write_text(json.dumps({"images": images, "annotations": rows, "categories": [category]}))
    return folder / "faces.json"
