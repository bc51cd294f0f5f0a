"""How often people are recognized from one photo, and how often strangers are taken for one of them.

    python benchmarks/face_recognition.py ../data/faces/images.csv --split val

Photos of people, in a table with the columns file and identity or in a folder with a sub-folder a person, are found,
aligned and embedded once (of several faces the largest). Then, again and again, random people are enrolled with
random photos; their other photos are probes, and so are all photos of everybody else: strangers.

- rank-1: share of the probes of enrolled people whose nearest person is the right one.
- FNIR at FPIR f: share of them who do not get their own name, at the similarity that a share f of the strangers
  reaches. In brackets how many strangers that are, of how many.
- as shipped: FPIR and FNIR at the similarity from which `Gallery.identify` gives a name by default (FPIR 1 %).

A face is compared with the mean of the photos of each person, as a gallery does, or with the nearest of them. Photos in
which no face is found, or one that is hard to recognize (`Face.is_fit`), cannot be enrolled, and as probes get no name.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision_app.core.errors import FaceError, VisionAppError
from vision_app.faces.align import centroid_of
from vision_app.faces.calibration import Calibration
from vision_app.faces.evaluate.pairs import load_photos
from vision_app.faces.recognizer import FaceRecognizer

TRIALS = 20
FPIRS = (0.1, 0.01)
SIZES = (100, None)  # people enrolled; None: all who have enough photos
PHOTOS = (1, 2, 3)  # enrolled of each person
COLUMNS = ("people", "photos", "compared with", "rank-1", *(f"FNIR at FPIR {fpir:.0%}" for fpir in FPIRS), "as shipped")


@dataclass(frozen=True)
class Trial:
    """Nearest people of all probes.

    Attributes:
        right: (P,) bool, of the probes of enrolled people: whether the nearest person is the right one.
        similarity: (P,) their similarity to that person.
        strangers: (S,) the similarity of each stranger to the nearest person.
    """

    right: np.ndarray
    similarity: np.ndarray
    strangers: np.ndarray

    def fnir(self, threshold: float) -> float:
        """Share of the probes of enrolled people who do not get their own name."""
        return 1 - float((self.right & (self.similarity >= threshold)).mean())

    def threshold(self, fpir: float) -> float:
        """Return the similarity that at most a share `fpir` of the strangers reaches."""
        falling = np.sort(self.strangers)[::-1]
        return float(np.nextafter(falling[int(fpir * len(falling))], np.inf, dtype=np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with a sub-folder a person, or a table")
    parser.add_argument("--split", help="the part of the table to take; by default val, or else test, or else all")
    parser.add_argument("--model", default="face-embedder")
    parser.add_argument("--detector", default="face-detector")
    arguments = parser.parse_args()
    try:
        recognizer = FaceRecognizer.load(arguments.model, detector=arguments.detector)
        photos = load_photos(arguments.data, split=arguments.split)
        embeddings = embed(recognizer, photos.paths)
        report(embeddings, np.asarray(photos.names), recognizer.calibration)
    except VisionAppError as error:
        parser.error(str(error))


def embed(recognizer: FaceRecognizer, paths: Sequence[Path]) -> np.ndarray:
    """(N, D) embeddings of the largest faces, zeros where there is none or it is hard to recognize."""
    embeddings = np.zeros((len(paths), recognizer.embedder.dimension), np.float32)
    for number, path in enumerate(paths):
        print(f"{number:,} of {len(paths):,} photos embedded", end="\r", file=sys.stderr)
        try:
            if (face := recognizer.face(path, largest=True)).is_fit:
                embeddings[number] = face.embedding
            else:
                print(f"{path}: {', '.join(face.quality.reasons)}", file=sys.stderr)
        except FaceError as error:
            print(error, file=sys.stderr)
    return embeddings


def report(embeddings: np.ndarray, names: np.ndarray, calibration: Calibration) -> None:
    """Print a line for each number of people and of photos, and way to compare.

    Args:
        embeddings: (N, D) unit vectors, zeros where there is no usable face.
        names: (N,) of the people.
        calibration: says from which similarity a face gets a name.
    """
    there = embeddings.any(axis=1)
    print(f"{len(names):,} photos of {len(np.unique(names)):,} people, no usable face in {(~there).sum():,}")
    print(*COLUMNS, sep="\t")
    for photos in PHOTOS:
        people, counts = np.unique(names[there], return_counts=True)
        enough = people[(counts > photos) & (people != "")]
        for size in SIZES:
            if size is not None and size > len(enough):
                continue
            for nearest in (False, True)[: 1 + (photos > 1)]:
                dice = np.random.default_rng(0)
                count = size or len(enough)
                drawn = [dice.choice(enough, count, replace=False) for _ in range(TRIALS)]
                trials = [trial(dice, embeddings, names, people, photos, nearest) for people in drawn]
                print_line(trials, count, photos, nearest, calibration)


def trial(
    dice: np.random.Generator, embeddings: np.ndarray, names: np.ndarray, people: np.ndarray, photos: int, nearest: bool
) -> Trial:
    """Enroll people with so many photos each, drawn at random, and identifies all other photos."""
    enrolled, known = [], np.zeros(len(names), bool)
    for person in people:
        chosen = dice.choice(np.flatnonzero((names == person) & embeddings.any(axis=1)), photos, replace=False)
        known[chosen] = True
        enrolled.append(embeddings[chosen] if nearest else centroid_of(embeddings[chosen])[None])
    similarities = embeddings[~known] @ np.concatenate(enrolled).T  # (probes, people x photos)
    similarities = similarities.reshape(len(similarities), len(people), -1).max(axis=2)
    best, who = similarities.max(axis=1), np.asarray(people)[similarities.argmax(axis=1)]
    mated = np.isin(names[~known], people)
    found = embeddings[~known].any(axis=1)
    right = (who == names[~known]) & found
    return Trial(right[mated], best[mated], np.where(found, best, -1)[~mated])


def print_line(trials: list[Trial], people: int, photos: int, nearest: bool, calibration: Calibration) -> None:
    rank, strangers = (np.mean([t.right.mean() for t in trials]), np.mean([len(t.strangers) for t in trials]))
    cells = [f"{people}", f"{photos}", "nearest" if nearest else "mean", f"{rank:.4f}"]
    for fpir in FPIRS:
        missed = np.mean([t.fnir(t.threshold(fpir)) for t in trials])
        cells.append(f"{missed:.4f} ({int(fpir * strangers)} of {strangers:.0f})")
    threshold = calibration.identify_threshold(people) + (0 if nearest else calibration.gain(photos))
    accepted = np.mean([(t.strangers >= threshold).mean() for t in trials])
    missed = np.mean([t.fnir(threshold) for t in trials])
    cells.append(f"FPIR {accepted:.4f}, FNIR {missed:.4f} at {threshold:.3f}")
    print(*cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
