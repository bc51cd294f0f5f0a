"""Make what training a face embedder from dlib's network needs: a smaller network, and a teacher's answers.

    python tools/convert_dlib.py DLIB.dat --data PEOPLE/ --output START
    vision-app train faces --data START/crops.npz --initial START/initial --teacher START/teacher.npz --output RUN

DLIB.dat is dlib_face_recognition_resnet_model_v1.dat (Davis King, 2017, public domain). The network is made smaller by
projecting its convolutions on their principal directions, and its vectors are put on a sphere, so that cosines say what
their Euclidean distances said. `--data` takes what `vision-app train faces` takes; crops.npz is written for photos.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from dlib_network import TEMPLATE, load_dlib
from face_start import judged, make_parser, run, write_start
from low_rank import Sphere, compressed

from vision_app.detection.train.initial import name_and_digest
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.initial import RANKS
from vision_app.faces.train.teacher import Teacher


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
    identity = name_and_digest(path)
    vectors = torch.from_numpy(Teacher(network, identity).answers(crops.chips))
    targets, chosen = Sphere.of(vectors)(vectors), judged(crops)
    small = compressed(network, crops.chips[chosen], targets[chosen], ranks)
    write_start(small, targets.numpy(), crops, output, learned_from=[identity], license="CC0")


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__, "DLIB.dat", "dlib's")
    run(parser, words, TEMPLATE, lambda given, crops: convert(given.network, crops, given.output))


if __name__ == "__main__":
    main()
