"""Made-up ground truth and answers of detectors, large by chance and small by hand."""

from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.data.samples import AnnotatedImage, DetectionSet
from vision_app.detection.evaluate.table import Table, rows_in_order

NAMES = ("airplane", "cat", "couch")


def made_up(seed: int, names=("aeroplane", "cat", "sofa")):
    """Ground truth with crowds and difficult objects, and rows that are right, shifted, mislabeled or invented."""
    generator = np.random.default_rng(seed)
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 400, "height": 300} for i in range(12)],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": [],
    }
    rows = []
    for image in truth["images"]:
        detections = []
        for _ in range(generator.integers(0, 6)):
            x, y = generator.uniform(0, [280, 180])
            w, h = generator.uniform(25, 120, 2)
            label = int(generator.integers(3))
            truth["annotations"].append(
                {"id": len(truth["annotations"]), "image_id": image["id"], "category_id": label + 1,
                 "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(generator.random() < 0.1),
                 "difficult": int(generator.random() < 0.2)}
            )  # fmt: skip
            shift = generator.uniform(-12, 12, 4)  # no box is turned inside out
            detections.append((label if generator.random() < 0.9 else 0, np.array([x, y, x + w, y + h]) + shift))
        detections += [(int(generator.integers(3)), np.array([5.0, 5, 60, 70])) for _ in range(generator.integers(3))]
        answers = [
            {"label": NAMES[label], "score": float(generator.random()), "box": box.tolist()}
            for label, box in detections
        ]
        rows.append({"file": f"some/folder/{image['file_name']}", "detections": answers})
    return truth, rows


def as_set(truth) -> DetectionSet:
    """The ground truth of COCO-style content as a set, in double precision and without image files."""
    labels = {row["id"]: i for i, row in enumerate(truth["categories"])}
    samples = []
    for image in truth["images"]:
        rows = [row for row in truth["annotations"] if row["image_id"] == image["id"]]
        xywh = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
        known = max((len(row.get("keypoints", ())) // 3 for row in truth["annotations"]), default=0)
        points = np.array([row.get("keypoints", ()) for row in rows], float).reshape(len(rows), known, 3)
        boxes = LabeledBoxes.make(
            np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]),
            np.array([labels[row["category_id"]] for row in rows], int),
            landmarks=np.where(points[..., 2:] > 0, points[..., :2], np.nan),
            ignored=np.array([bool(row.get("iscrowd") or row.get("difficult")) for row in rows], bool),
        )
        size = image.get("width", 100), image.get("height", 100)
        areas = np.array([row.get("area", w * h) for row, (w, h) in zip(rows, xywh[:, 2:], strict=True)], float)
        every = frozenset(labels.values())
        samples.append(AnnotatedImage(Path(image["file_name"]), image["file_name"], *size, boxes, areas, every))
    return DetectionSet(tuple(row["name"] for row in truth["categories"]), tuple(samples))


def table_of(truth, rows) -> Table:
    """The table of COCO-style content and rows in any order."""
    data = as_set(truth)
    return Table.make(data, rows_in_order(data, rows))


def by_hand(true, found, classes=("cat", "dog")) -> Table:
    """The table of one image, or of several.

    Args:
        true: (class, box) of each object, and "ignored" or the number of its image behind it where that is not 0.
        found: (class, box, score) of each detection, and the number of its image behind it where that is not 0.
    """
    labels, boxes, more = zip(*((label, box, rest) for label, box, *rest in true), strict=True) if true else [()] * 3
    place = [next((word for word in rest if isinstance(word, int)), 0) for rest in more]
    found = sorted(found, key=lambda one: -one[2])
    found_in = [one[3] if len(one) > 3 else 0 for one in found]
    xyxy = np.array(boxes, float).reshape(-1, 4)
    return Table(
        classes=classes,
        images=1 + max([*place, *found_in], default=0),
        ground_truth=LabeledBoxes.make(
            xyxy,
            np.array([classes.index(label) for label in labels], int),
            ignored=np.array(["ignored" in rest for rest in more], bool),
        ),
        ground_truth_images=np.array(place, int),
        areas=(xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1),
        detections=LabeledBoxes.make(
            np.array([one[1] for one in found], float).reshape(-1, 4),
            np.array([classes.index(one[0]) for one in found], int),
            np.array([one[2] for one in found], float),
        ),
        detection_images=np.array(found_in, int),
    )


def as_coco(truth) -> COCO:
    """The ground truth for pycocotools, which needs ids from 1 and ignores crowds alone."""
    coco = COCO()
    coco.dataset = {**truth, "annotations": [
        {**a, "id": a["id"] + 1, "iscrowd": a["iscrowd"] or a["difficult"]} for a in truth["annotations"]
    ]}  # fmt: skip
    coco.createIndex()
    return coco
