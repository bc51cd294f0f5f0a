"""Report an evaluation as JSON, CSV, and lines of text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.batch.sinks import write_csv, write_text
from vision_app.classification.evaluate.evaluation import ClassifierEvaluation

COLUMNS = ("class", "photos", "AP")


def to_dict(evaluation: ClassifierEvaluation) -> dict[str, Any]:
    """Return the metrics as JSON values, rounded to 4 digits, None where there is nothing to measure."""
    return {
        "mAP": _plain(evaluation.mean),
        "located": _plain(evaluation.located),
        "classes": [dict(zip(COLUMNS, line, strict=True)) for line in _lines(evaluation)],
    }


def write_report(evaluation: ClassifierEvaluation, folder: Path, about: dict[str, Any]) -> None:
    """Write `evaluation.json`, which starts with `about`, and `classes.csv`.

    Raises:
        OutputError: Something could not be written.
    """
    write_csv(folder / "classes.csv", COLUMNS, _lines(evaluation))
    write_text(folder / "evaluation.json", json.dumps(about | to_dict(evaluation), indent=1) + "\n")


def summary(evaluation: ClassifierEvaluation) -> Iterator[str]:
    """Yield the metrics in lines of text, the weakest classes last."""
    shown = [line for line in _lines(evaluation) if line[2] is not None]
    over = f"{len(shown)} class{'es' * (len(shown) != 1)}"
    yield f"mAP {evaluation.mean:.3f} over {over}" if shown else "no mAP: no class can be judged"
    if always := [name for name, photos, precision in _lines(evaluation) if photos and precision is None]:
        yield f"not judged, since every photo that counts shows them: {', '.join(always)}"
    if not np.isnan(evaluation.located):
        yield f"the box of the best object is right in {evaluation.located:.1%} of the photos with one"
    if not shown:
        return
    width = max(len(name) for name, *_ in [COLUMNS, *shown])
    yield f"\n{'class':<{width}}  photos     AP"
    for name, photos, precision in sorted(shown, key=lambda line: -line[2]):
        yield f"{name:<{width}}  {photos:6,}  {precision:5.3f}"


def _lines(evaluation: ClassifierEvaluation) -> list[tuple[Any, ...]]:
    photos, precision = evaluation.photos.tolist(), map(_plain, evaluation.precision)
    return list(zip(evaluation.classes, photos, precision, strict=True))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
