"""Average precision of detections against a COCO-style truth, by COCO's rules."""

import contextlib
import io
from collections.abc import Iterable, Mapping

from faster_coco_eval import COCO, COCOeval_faster

from vision_app.data.names import canonical
from vision_app.errors import DataError


def average_precision(truth: Mapping, rows: Iterable[Mapping]) -> dict[str, float]:
    """COCO's metrics over the images of `truth`.

    Args:
        truth: COCO-style content; `difficult` annotations are ignored as crowds are, neither right nor wrong. Class
            names are compared in their canonical form, so VOC's "sofa" meets "couch".
        rows: rows of `detections.jsonl`, each with `file` and `detections`; an image is found by the last part of
            `file`. Detections of classes that the truth does not list are left out.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, APsmall, APmedium, APlarge; -1 where the truth has no such object.

    Raises:
        DataError: an image of the truth has no row, or a file occurs twice in the rows.
    """
    categories = {canonical(row["name"]): row["id"] for row in truth["categories"]}
    found: dict[str, Mapping] = {}
    for row in rows:
        name = row["file"].replace("\\", "/").rsplit("/", 1)[-1]
        if name in found:
            raise DataError(f"the rows hold '{name}' twice")
        found[name] = row
    predictions = []
    for image in truth["images"]:
        if image["file_name"] not in found:
            raise DataError(f"the rows hold no '{image['file_name']}'")
        for one in found[image["file_name"]]["detections"]:
            if one["label"] in categories:
                x1, y1, x2, y2 = one["box"]
                predictions.append(
                    {"image_id": image["id"], "category_id": categories[one["label"]], "score": one["score"],
                     "bbox": [x1, y1, x2 - x1, y2 - y1]}
                )  # fmt: skip
    return _evaluate(truth, predictions)


def _evaluate(truth: Mapping, predictions: list[dict]) -> dict[str, float]:
    annotations = [
        {**row, "iscrowd": int(row.get("iscrowd", 0) or row.get("difficult", 0)), "id": i + 1}
        for i, row in enumerate(truth["annotations"])
    ]
    names = ("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge")
    if not predictions:
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({**truth, "annotations": annotations})
        evaluation = COCOeval_faster(coco, coco.loadRes(predictions), "bbox", print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(names, evaluation.stats[:6], strict=True)}
