"""What the tools share that make a start for training a face embedder: their command line, and what they write."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision_app.core.errors import VisionAppError
from vision_app.faces.detector import FaceDetector
from vision_app.faces.model.build import AnyFaceNetwork
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import Reader
from vision_app.faces.train.export import write_model
from vision_app.faces.train.teacher import store_answers

JUDGED = 1000  # faces by which principal directions are chosen


def make_parser(description: str | None, metavar: str, owner: str) -> argparse.ArgumentParser:
    """Return the parser of a tool that reads somebody's file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, metavar=metavar, help=f"{owner} file")
    parser.add_argument("--data", type=Path, action="append", required=True, help="photos of people; may be repeated")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="to write")
    parser.add_argument("--detector", default="face-detector", help="face detector, by its name or folder")
    return parser


def run(
    parser: argparse.ArgumentParser,
    words: Sequence[str] | None,
    template: np.ndarray,
    convert: Callable[[argparse.Namespace, FaceCrops], None],
) -> None:
    """Find the faces of the data, aligned to a template, and convert a network with them; errors end the tool."""
    arguments = parser.parse_args(words)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        reader = Reader(arguments.output, False, lambda: FaceDetector.load(arguments.detector), print)
        reader.agree(arguments.network.name, template)
        convert(arguments, reader.train(arguments.data))
    except VisionAppError as error:
        parser.error(str(error))


def judged(crops: FaceCrops) -> np.ndarray:
    """Return the indices of the faces by which principal directions are chosen, the same ones every time."""
    return np.sort(np.random.default_rng(0).permutation(len(crops))[:JUDGED])


def write_start(network: AnyFaceNetwork, targets: np.ndarray, crops: FaceCrops, output: Path, **about: Any) -> None:
    """Write the model folder `initial` and the file `teacher.npz`, with a teacher's (N, D) answers, into a folder."""
    write_model(network, output / "initial", name="initial", template=crops.template, half=False, **about)
    store_answers(output / "teacher.npz", crops.digest(), targets)
