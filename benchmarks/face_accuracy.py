"""Compare how well faces are found and told apart with dlib, MobileFaceNet and YuNet, and milliseconds by step.

    python benchmarks/face_accuracy.py --data ../data/faces --pairs ../data/faces/val_pairs.csv --dlib PACKAGE/ \
        --mobilefacenet FILE.onnx --yunet FILE.onnx --photos ../data/voc/val.json

The folder contains images.csv (columns file, identity and split; the split val is measured). All pipelines start from
the photos: decode, find the largest face, align, embed; a photo without a face counts as an error, as in `vision-app
evaluate faces`. The accuracy is that of ten folds, and "at best" that of the single best threshold for these pairs,
which is optimistic. Rates below 1 % come from all pairs of the photos. dlib and MobileFaceNet take the faces that YuNet
finds, and dlib must be installed (`pip install dlib-bin`). The share of crops with one face, and the agreement with
YuNet on whole photos, are those of our face detector.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from face_contestants import Dlib, MobileFaceNet, Ours, Pipeline, YuNet

from vision_app import read_image
from vision_app.cli.progress import show_progress
from vision_app.core.boxes import area, iou_matrix
from vision_app.core.images import SUFFIXES, RGBImage
from vision_app.core.results import Detections
from vision_app.data.detection import load_detection
from vision_app.faces.align import landmarks_of
from vision_app.faces.evaluate.evaluation import PairResult
from vision_app.faces.evaluate.metrics import auc, best_threshold, eer, fold_accuracy
from vision_app.faces.evaluate.pairs import FacePhotos, compare_all, compare_listed, load_photos

STEPS = ("decode", "find", "align", "embed")
HEADS = (
    "", "face found", "accuracy", "at best", "TAR, FAR 1 %", "AUC", "EER", "all: TAR, FAR 1 %", "0.1 %", "0.01 %",
    *(f"{step} ms" for step in STEPS),
)  # fmt: skip
SMALLEST, OVERLAP = 20, 0.5  # side in pixels of the faces that must agree, and IoU from which they do


def embed_all(pipeline: Pipeline, paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return (F, D) embeddings, NaN without a face, and (F, 4) milliseconds of `STEPS`, NaN for steps not taken."""
    embeddings, times = [], []
    with show_progress(len(paths), 0) as report:
        for path in paths:
            moments, embedding = [time.perf_counter()], None
            image = read_image(path)
            moments.append(time.perf_counter())
            face = pipeline.find(image)
            moments.append(time.perf_counter())
            if face is not None:
                chip = pipeline.align(image, face)
                moments.append(time.perf_counter())
                embedding = pipeline.embed(chip)
                moments.append(time.perf_counter())
            embeddings.append(embedding)
            times.append(np.pad(1000 * np.diff(moments), (0, 5 - len(moments)), constant_values=np.nan))
            report([{"status": "ok"}])
    size = next((len(one) for one in embeddings if one is not None), 1)
    rows = [np.full(size, np.nan) if one is None else one for one in embeddings]
    return np.array(rows, np.float32), np.array(times)


def accuracy_line(
    pipeline: Pipeline, embeddings: np.ndarray, times: np.ndarray, photos: FacePhotos, pairs: FacePhotos | None
) -> list[str]:
    """Return a pipeline's line of the table; see `HEADS`."""
    similarities = pipeline.similarities(embeddings)
    every = compare_all(embeddings, photos.names, photos.groups)
    every = PairResult.of(replace(every, similarity=similarities[np.triu_indices(len(embeddings), 1)]))
    words = [pipeline.name, f"{np.isfinite(embeddings).all(axis=1).mean():.2%}"]
    if pairs:
        place = {file: i for i, file in enumerate(photos.files)}
        chosen = np.array([place[file] for file in pairs.files])
        first, second = chosen[pairs.listed.first], chosen[pairs.listed.second]
        listed = PairResult.of(
            replace(compare_listed(embeddings[chosen], pairs), similarity=similarities[first, second])
        )
        similarity, same = listed.pairs.similarity, listed.pairs.same
        best = ((similarity >= best_threshold(similarity, same)) == same)[~np.isnan(similarity)].sum() / len(same)
        accuracy = fold_accuracy(similarity, same, pairs.listed.folds).mean
        words += [f"{accuracy:.2%}", f"{best:.2%}", tar(listed, 1e-2)]
    words += [f"{auc(every.curve):.4f}", f"{eer(every.curve):.2%}", *(tar(every, far) for far in (1e-2, 1e-3, 1e-4))]
    return words + [f"{milliseconds:.1f}" for milliseconds in np.nanmedian(times, axis=0)]


def tar(result: PairResult, far: float) -> str:
    """Return the true accept rate, "-" where there are too few pairs."""
    return next((f"{one.true.rate:.2%}" for one in result.points if one.far == far), "-")


def print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def matches(ours: np.ndarray, theirs: np.ndarray) -> list[tuple[int, int]]:
    """Return which boxes, (N, 4) and (M, 4) xyxy, show one face; each is matched once, the best overlaps first."""
    overlaps = iou_matrix(ours, theirs)
    pairs: list[tuple[int, int]] = []
    left, right = set(range(len(ours))), set(range(len(theirs)))
    for place in np.argsort(-overlaps, axis=None, kind="stable"):
        i, j = map(int, np.unravel_index(place, overlaps.shape))
        if overlaps[i, j] >= OVERLAP and i in left and j in right:
            pairs.append((i, j))
            left.remove(i)
            right.remove(j)
    return pairs


def agreement(ours: np.ndarray, theirs: np.ndarray, smallest: float = SMALLEST) -> tuple[int, int, int]:
    """Compare the faces of two detectors in one photo.

    A face that is smaller than `smallest` and has no match is ignored, and so is a pair of two such faces.

    Args:
        ours: (N, 4) xyxy in pixels.
        theirs: (M, 4) likewise.
        smallest: Side in pixels.

    Returns:
        Numbers of pairs, of faces that are ours alone and of faces that are theirs alone.
    """
    large = [np.sqrt(area(boxes)) >= smallest for boxes in (ours, theirs)]
    pairs = matches(ours, theirs)
    both = sum(bool(large[0][i] or large[1][j]) for i, j in pairs)
    alone = [np.delete(sizes, [pair[side] for pair in pairs]).sum() for side, sizes in enumerate(large)]
    return both, int(alone[0]), int(alone[1])


def landmark_errors(ours: Detections, theirs: np.ndarray) -> list[tuple[float, float]]:
    """Return the size of each face that both found, and the mean distance of its landmarks between the two.

    Args:
        ours: Faces in a photo.
        theirs: (M, 15) what YuNet found there; the distance is one in distances between its eyes.
    """
    points, other = landmarks_of(ours), theirs[:, 4:14].reshape(-1, 5, 2)
    rows = []
    for i, j in matches(ours.boxes, theirs[:, :4]):
        eyes = float(np.linalg.norm(other[j, 1] - other[j, 0]))
        size = float(np.sqrt(area(theirs[j : j + 1, :4])[0]))
        rows.append((size, float(np.linalg.norm(points[i] - other[j], axis=1).mean()) / max(eyes, 1e-6)))
    return rows


def print_agreement(find: Callable[[RGBImage], Detections], yunet: YuNet, paths: Sequence[Path]) -> None:
    """Print how well two detectors agree on photos, in the faces and in their landmarks."""
    counts, errors = np.zeros(3, int), []
    for path in paths:
        image = read_image(path)
        ours, theirs = find(image), yunet(image.pixels)
        counts += agreement(ours.boxes, theirs[:, :4])
        errors += landmark_errors(ours, theirs)
    both, ours_alone, theirs_alone = counts.tolist()
    f1 = 2 * both / max(2 * both + ours_alone + theirs_alone, 1)
    print(f"\nagreement with YuNet on {len(paths):,} photos, faces from {SMALLEST} px: F1 {f1:.3f}")
    print(f"{both:,} faces found by both, {ours_alone:,} by ours alone, {theirs_alone:,} by YuNet alone")
    sizes, away = np.array(errors).reshape(-1, 2).T
    for name, some in ((f"{SMALLEST} to 40 px", (sizes >= SMALLEST) & (sizes < 40)), ("from 40 px", sizes >= 40)):
        if some.any():
            print(
                f"landmarks of {some.sum():,} faces {name}: {away[some].mean():.1%} of the eyes' distance from YuNet's"
                f" on average, {np.median(away[some]):.1%} at the median"
            )


def print_crops(find: Callable[[RGBImage], Detections], photos: FacePhotos) -> None:
    """Print in how many crops of each source (the first folder of their names) our detector finds faces."""
    counts = np.array([min(len(find(read_image(path))), 2) for path in photos.paths])
    sources = np.array([Path(file).parts[0] for file in photos.files])
    print()
    for source in np.unique(sources):
        none, one, more = np.bincount(counts[sources == source], minlength=3) / (sources == source).sum()
        print(f"faces in crops of {source}: one in {one:.2%}, several in {more:.2%}, none in {none:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="with images.csv")
    parser.add_argument("--pairs", type=Path, metavar="FILE.csv", help="pairs of these photos")
    parser.add_argument("--model", default="face-embedder", help="ours, by name or path")
    parser.add_argument("--detector", default="face-detector", help="ours, by name or path")
    parser.add_argument("--dlib", type=Path, metavar="FOLDER", help="of the package face_recognition_models")
    parser.add_argument("--mobilefacenet", type=Path, metavar="FILE.onnx")
    parser.add_argument("--yunet", type=Path, metavar="FILE.onnx", help="finds the faces for both")
    parser.add_argument("--yunet-confidence", type=float, default=0.6, help="on whole photos; on crops it is 0.5")
    parser.add_argument("--photos", type=Path, metavar="FOLDER|FILE.json", help="whole photos, or a COCO file of some")
    parser.add_argument("--limit", type=int, help="crops and photos to take")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.yunet and (arguments.dlib or arguments.mobilefacenet or arguments.photos):
        parser.error("--yunet is needed for --dlib, --mobilefacenet and --photos")
    cv2.setNumThreads(arguments.threads)
    photos = load_photos(arguments.data / "images.csv")
    pairs = load_photos(arguments.pairs, arguments.data) if arguments.pairs else None
    if arguments.limit:
        photos, pairs = photos.keep(np.arange(len(photos.files)) < arguments.limit), None
    ours = Ours(arguments.model, arguments.detector, arguments.threads)
    pipelines: list[Pipeline] = [ours]
    if arguments.dlib:
        pipelines.append(Dlib(arguments.dlib, YuNet(arguments.yunet, 0.5)))
    if arguments.mobilefacenet:
        pipelines.append(MobileFaceNet(arguments.mobilefacenet, YuNet(arguments.yunet, 0.5), arguments.threads))
    lines = [HEADS if pairs else HEADS[:2] + HEADS[5:]]
    for pipeline in pipelines:
        embeddings, times = embed_all(pipeline, photos.paths)
        lines.append(accuracy_line(pipeline, embeddings, times, photos, pairs))
    print(f"{len(photos.files):,} photos of {len(np.unique(photos.names)):,} people")
    print_table(lines)

    find = ours.recognizer.detector

    print_crops(find, photos)
    if arguments.photos:
        paths = whole_photos(arguments.photos)[: arguments.limit]
        print_agreement(find, YuNet(arguments.yunet, arguments.yunet_confidence), paths)


def whole_photos(source: Path) -> list[Path]:
    """Return the photos of a folder, or those that a COCO-style file lists, in images/ beside it."""
    if source.is_dir():
        return sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [sample.path for sample in load_detection(source).samples]


if __name__ == "__main__":
    main()
