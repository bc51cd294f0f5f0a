"""Made-up truths and answers of detectors, large by chance and small by hand."""

import numpy as np
from pycocotools.coco import COCO

from vision_app.detection.evaluate.table import Table

NAMES = ("airplane", "cat", "couch")


def made_up(seed: int, names=("aeroplane", "cat", "sofa")):
    """A truth with crowds and difficult objects, and rows that are right, shifted, of the wrong class or invented."""
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


def by_hand(true, found, classes=("cat", "dog")) -> Table:
    """The table of one image, or of several.

    Args:
        true: (class, box) of each object, and "ignored" or the number of its image behind it where that is not 0.
        found: (class, box, score) of each detection, and the number of its image behind it where that is not 0.
    """
    labels, boxes, more = zip(*((label, box, rest) for label, box, *rest in true), strict=True) if true else [()] * 3
    place = [next((word for word in rest if isinstance(word, int)), 0) for rest in more]
    found = sorted(found, key=lambda one: -one[2])
    array = np.array(boxes, float).reshape(-1, 4)
    return Table(
        classes=classes,
        images=1 + max([*place, *(one[3] if len(one) > 3 else 0 for one in found)], default=0),
        true_boxes=array,
        true_labels=np.array([classes.index(label) for label in labels], int),
        true_images=np.array(place, int),
        true_areas=(array[:, 2:] - array[:, :2]).prod(axis=1),
        ignored=np.array(["ignored" in rest for rest in more], bool),
        boxes=np.array([one[1] for one in found], float).reshape(-1, 4),
        labels=np.array([classes.index(one[0]) for one in found], int),
        image=np.array([one[3] if len(one) > 3 else 0 for one in found], int),
        scores=np.array([one[2] for one in found], float),
    )


def as_coco(truth) -> COCO:
    """The truth for pycocotools, which needs ids from 1 and knows crowds alone as neither right nor wrong."""
    coco = COCO()
    coco.dataset = {**truth, "annotations": [
        {**a, "id": a["id"] + 1, "iscrowd": a["iscrowd"] or a["difficult"]} for a in truth["annotations"]
    ]}  # fmt: skip
    coco.createIndex()
    return coco
