"""Make what training a face embedder from dlib's network needs: a smaller network, and a teacher's answers.

    python tools/convert_dlib.py DLIB.dat --data PEOPLE/ --output START
    vision-app train faces --data START/crops.npz --initial START/initial --teacher START/teacher.npz --output RUN

DLIB.dat is dlib_face_recognition_resnet_model_v1.dat (Davis King, 2017, public domain). The network is made smaller by
projecting its convolutions on their principal directions, and its vectors are put on a sphere, so that cosines say what
their Euclidean distances said. `--data` takes what `vision-app train faces` takes; crops.npz is written for photos.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from dlib_network import TEMPLATE, load_dlib
from low_rank import Sphere, compressed

from vision_app.core.errors import VisionAppError
from vision_app.faces.detector import FaceDetector
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import Reader
from vision_app.faces.train.export import write_model
from vision_app.faces.train.initial import RANKS
from vision_app.faces.train.teacher import Teacher, store_answers

JUDGED = 1000  # faces by which principal directions are chosen


def convert(path: Path, crops: FaceCrops, output: Path, ranks: Sequence[tuple[int, int]] = RANKS) -> None:
    """Write the model folder `initial` and the file `teacher.npz` into a folder.

    Args:
        path: dlib's file.
        crops: N faces to learn from, aligned to dlib's template.
        output: The folder.
        ranks: Of the two convolutions of each block.

    Raises:
        ModelError: The file is not that network.
    """
    network = load_dlib(path)
    identity = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    vectors = torch.from_numpy(Teacher(network, identity).answers(crops.chips))
    targets = Sphere.of(vectors)(vectors)
    chosen = np.sort(np.random.default_rng(0).permutation(len(crops))[:JUDGED])
    small = compressed(network, crops.chips[chosen], targets[chosen], ranks)
    about = {"learned_from": [identity], "license": "CC0"}
    write_model(small, output / "initial", name="initial", template=crops.template, half=False, **about)
    store_answers(output / "teacher.npz", crops.digest(), targets.numpy())


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, metavar="DLIB.dat", help="dlib's file")
    parser.add_argument("--data", type=Path, action="append", required=True, help="photos of people; may be repeated")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="to write")
    parser.add_argument("--detector", default="face-detector", help="face detector, by its name or folder")
    arguments = parser.parse_args(words)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        reader = Reader(arguments.output, False, lambda: FaceDetector.load(arguments.detector), print)
        reader.agree(arguments.network.name, TEMPLATE)
        convert(arguments.network, reader.train(arguments.data), arguments.output)
    except VisionAppError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
