"""Whether verdicts on turned and damaged photos keep the stated false accept rate, and what they cost in misses.

    python benchmarks/face_robustness.py ../data/faces/images.csv                         # the full table
    python benchmarks/face_robustness.py ../data/faces/images.csv --people 17 --step 30   # a quick look
    python benchmarks/face_robustness.py ../data/faces/images.csv --step 0 --damages negative "12 px"   # a part of it

Two photos of each of some people are padded with gray so far that turning cuts nothing off. Then all of them are turned
by the same angle, or damaged in the same way, and pairs of them are compared as `vision-app faces verify --largest`
compares them: both photos treated alike ("alike"), and the first one treated against the second one as it was
("clean"). Pairs of strangers are drawn by a seed and are the same in every line; pairs of one person are the two photos
of everybody. `itself` is a photo that was treated against the same one as it was.

Verdicts are counted, and no pair is left out: a photo in which no face is found makes its pairs uncertain. The interval
of the false accept rate comes from resampling people, as in `faces calibrate`, and is no narrower than Wilson's.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from face_treatments import DAMAGES, Treatment, padded, turned

from vision_app import Face, FaceRecognizer, read_image
from vision_app.cli.progress import show_progress
from vision_app.core.errors import FaceError, VisionAppError
from vision_app.faces.calibration import FAR
from vision_app.faces.evaluate.calibrate import resamples
from vision_app.faces.evaluate.metrics import Share
from vision_app.faces.evaluate.pairs import load_photos, numbers, share_of
from vision_app.faces.recognizer import only
from vision_app.faces.results import DIFFERENT, SAME, UNCERTAIN

ITSELF = 0.95  # share of photos that must be the same as themselves, at any angle
COLUMNS = {
    "photos": 26, "against": 8, "strangers same": 18, "FAR, 95 % interval": 24, "strangers uncertain": 19,
    "one person same": 15, "uncertain": 9, "different": 9, "itself": 8, "no face": 8, "reasons": 8,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which photos are compared: 2 P photos, those of a person one after the other.

    Attributes:
        strangers: (N, 2) numbers of photos of different people.
        genuine: (P, 2) numbers of the two photos of each person.
    """

    strangers: np.ndarray
    genuine: np.ndarray

    @classmethod
    def drawn(cls, people: int, most: int, seed: int) -> "Pairs":
        """List the two photos of everybody, and at most so many pairs of strangers."""
        first, second = np.triu_indices(2 * people, 1)
        every = np.column_stack([first, second])[first // 2 != second // 2]
        rng = np.random.default_rng(seed)
        strangers = every[np.sort(rng.permutation(len(every))[:most])]
        strangers = np.where(rng.random((len(strangers), 1)) < 0.5, strangers, strangers[:, ::-1])
        return cls(strangers, np.arange(2 * people).reshape(-1, 2))


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The verdicts on pairs, one each.

    Attributes:
        strangers, genuine: Those of `Pairs`.
        itself: Of each treated photo with the same one as it was, or None where both are treated alike.
    """

    strangers: np.ndarray
    genuine: np.ndarray
    itself: np.ndarray | None = None


def verdicts(
    recognizer: FaceRecognizer,
    first: Sequence[Face | None],
    second: Sequence[Face | None],
    pairs: np.ndarray,
    far: float,
) -> np.ndarray:
    """Return (N,) verdicts on pairs of faces; a face that was not found makes them uncertain."""

    def verdict(a: Face | None, b: Face | None) -> str:
        return UNCERTAIN if a is None or b is None else recognizer.compare(a, b, far=far).verdict

    return np.array([verdict(first[i], second[j]) for i, j in pairs.tolist()])


def measured(
    recognizer: FaceRecognizer, clean: Sequence[Face | None], treated: Sequence[Face | None], pairs: Pairs, far: float
) -> dict[str, Verdicts]:
    """Return the verdicts on both photos treated alike, and on the first one treated against the second as it was."""
    every = np.repeat(np.arange(len(clean))[:, None], 2, axis=1)
    lines = {}
    for against, second in (("alike", treated), ("clean", clean)):
        judge = partial(verdicts, recognizer, treated, second, far=far)
        itself = judge(pairs=every) if against == "clean" else None
        lines[against] = Verdicts(judge(pairs=pairs.strangers), judge(pairs=pairs.genuine), itself)
    return lines


def interval(accepted: np.ndarray, pairs: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the share of (N,) accepted pairs (N, 2) of photos, from resampling people."""
    people = numbers(pairs // 2).reshape(pairs.shape)
    rates = [(accepted @ weights) / max(weights.sum(), 1) for weights in resamples(people)]
    wilson, (low, high) = Share(int(accepted.sum()), len(accepted)).interval, np.percentile(rates, (2.5, 97.5))
    return min(float(low), wilson[0]), max(float(high), wilson[1])


def line(name: str, against: str, found: Sequence[Face | None], answers: Verdicts, pairs: Pairs) -> list[str]:
    """Return the cells of a line of the table; see `COLUMNS`."""
    accepted = answers.strangers == SAME
    low, high = interval(accepted, pairs.strangers)
    faces = [face for face in found if face is not None]
    unfit = sum(bool(face.quality.reasons) for face in faces)
    codes = Counter(code for face in faces for code in face.quality.reasons)
    return [
        name,
        against,
        f"{accepted.sum():,} of {len(accepted):,}",
        f"{accepted.mean():.3%} ({low:.3%}-{high:.3%})",
        f"{(answers.strangers == UNCERTAIN).mean():.1%}",
        *(f"{(answers.genuine == verdict).mean():.1%}" for verdict in (SAME, UNCERTAIN, DIFFERENT)),
        "-" if answers.itself is None else f"{(answers.itself == SAME).mean():.1%}",
        f"{1 - len(faces) / len(found):.1%}",
        f"{unfit / len(found):.1%}" + "".join(f"  {code} {n / len(found):.0%}" for code, n in codes.most_common(3)),
    ]


def faults(name: str, against: str, answers: Verdicts, pairs: Pairs, far: float, is_turned: bool) -> Iterator[str]:
    """Say what a line shows that must not be."""
    low, _ = interval(answers.strangers == SAME, pairs.strangers)
    if low > far:
        yield f"{name}, {against}: strangers are accepted more often than the rate of {far:g} says"
    if is_turned and answers.itself is not None and (share := (answers.itself == SAME).mean()) < ITSELF:
        yield f"{name}: {share:.1%} of the photos are the same as themselves, of {ITSELF:.0%}"


def chosen_photos(data: Path, split: str | None, people: int, seed: int) -> list[Path]:
    """Return two photos each of people who have as many, drawn by a seed.

    Raises:
        DataError: See `load_photos`.
    """
    photos = load_photos(data, split=split)
    assert photos.names is not None
    order = np.argsort([share_of(f"{seed} {file}", 1 << 62) for file in photos.files], kind="stable")
    of: dict[str, list[Path]] = {}
    for place in order:
        of.setdefault(photos.names[place], []).append(photos.paths[place])
    return [path for paths in [paths[:2] for paths in of.values() if len(paths) > 1][:people] for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with a sub-folder a person, or a table")
    parser.add_argument("--split", help="the part of the table to take; by default val, or else test, or else all")
    parser.add_argument("--people", type=int, default=200, help="of whom two photos are taken")
    parser.add_argument("--pairs", type=int, default=20_000, help="of strangers in a line, at most")
    parser.add_argument("--step", type=int, default=10, help="degrees from one angle to the next; 0: none")
    parser.add_argument("--damages", nargs="*", choices=DAMAGES, default=list(DAMAGES), metavar="NAME")
    parser.add_argument("--far", type=float, default=FAR, help="the stated false accept rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="face-embedder")
    parser.add_argument("--detector", default="face-detector")
    parser.add_argument("--workers", type=int, default=1, help="photos at a time")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        run(arguments)
    except VisionAppError as error:
        raise SystemExit(f"error: {error}") from error


def run(arguments: argparse.Namespace) -> None:
    """Print the table."""
    recognizer = FaceRecognizer.load(arguments.model, detector=arguments.detector, threads=1)
    paths = chosen_photos(arguments.data, arguments.split, arguments.people, arguments.seed)
    pairs = Pairs.drawn(len(paths) // 2, arguments.pairs, arguments.seed)
    images = [padded(read_image(path).pixels) for path in paths]
    angles = range(0, 360, arguments.step) if arguments.step else ()
    treatments: dict[str, Treatment] = {f"turned {angle}": partial(turned, angle) for angle in angles}
    treatments |= {name: DAMAGES[name] for name in arguments.damages}

    def find(pixels: np.ndarray) -> Face | None:
        try:
            return only(recognizer(pixels), "<photo>", largest=True)
        except FaceError:
            return None

    with ThreadPoolExecutor(arguments.workers) as pool:
        clean = list(pool.map(find, images))

        def treated(name: str, number: int) -> Face | None:
            face = clean[number]
            rng = np.random.default_rng([arguments.seed, number])
            return None if face is None else find(treatments[name](images[number], face, rng))

        print(
            f"{len(paths):,} photos of {len(paths) // 2:,} people, no face found in {clean.count(None):,}; "
            f"verdicts at a false accept rate of {arguments.far:g}; model {recognizer.model_id}"
        )
        print(*(f"{name:<{width}}" for name, width in COLUMNS.items()), sep=" ", flush=True)
        wrong = []
        with show_progress(len(treatments) * len(paths), 0) as report:
            for name in treatments:
                found = []
                for face in pool.map(partial(treated, name), range(len(paths))):
                    found.append(face)
                    report([{"status": "ok"}])
                for against, answers in measured(recognizer, clean, found, pairs, arguments.far).items():
                    cells = zip(line(name, against, found, answers, pairs), COLUMNS.values(), strict=True)
                    print(*(f"{cell:<{width}}" for cell, width in cells), sep=" ", flush=True)
                    wrong += faults(name, against, answers, pairs, arguments.far, name not in DAMAGES)
    good = f"strangers are accepted as rarely as stated, and turned photos are themselves in {ITSELF:.0%} or more"
    print("\n".join(wrong) or good)


if __name__ == "__main__":
    main()
