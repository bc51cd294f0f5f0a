"""The scan: every image of a set is decoded once before training starts."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError, ImageError
from vision_app.core.files import read_bytes
from vision_app.core.images import RGBImage, read_image
from vision_app.core.limits import MAX_IMAGE_BYTES
from vision_app.core.text import amount, brief
from vision_app.data.samples import GIGABYTE, AnnotatedImage, DetectionSet, ImageCache
from vision_app.data.scan_report import ScanReport


def scan(
    data: DetectionSet,
    *,
    target: int | None = None,
    limit: int = 2 * GIGABYTE,
    seen: dict[str, Path] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> DetectionSet:
    """Decode every image once; leave out those that cannot be read or whose size is not the one listed.

    An image that is there twice, by the digest of its file, and one without boxes, which stays as background, are
    reported.

    Args:
        data: The set.
        target: As for `ImageCache`.
        limit: As for `ImageCache`; the first images stay decoded in memory until it is reached.
        seen: Digests of images that were scanned before, those of other sets, too; this set's are added.
        log: Called with a line of progress every thousand images.

    Returns:
        The set that is left, with its images at hand.

    Raises:
        DataError: No image can be read.
    """
    kept, images, report = [], ImageCache(limit, target), data.report + ScanReport()
    seen = {} if seen is None else seen
    for done, (sample, image, digest) in enumerate(_decoded(data.samples, target)):
        if done and done % 1000 == 0:
            log(f"checked {done} of {len(data)} images")
        if isinstance(image, ImageError):
            report.add("corrupt image", str(image))
            continue
        if (image.width, image.height) != (sample.width, sample.height):
            listed = f"{sample.width} x {sample.height}"
            report.add("wrong size", f"{sample.name} is {image.width} x {image.height}, listed as {listed}")
            continue
        if (first := seen.setdefault(digest, sample.path)) != sample.path:
            report.add("duplicate photo", f"{sample.path} is the same file as {first} (kept)")
        if not len(sample.boxes):
            report.add("unlabeled image", f"{sample.name} has no boxes (kept as background)")
        kept.append(sample)
        images.keep(sample.path, image.pixels)
    if not kept:
        raise DataError(f"none of the {len(data)} images can be used ({report.first()})")
    return replace(data, samples=tuple(kept), report=report, images=images)


def _decoded(
    samples: tuple[AnnotatedImage, ...], target: int | None
) -> Iterator[tuple[AnnotatedImage, RGBImage | ImageError, str]]:
    """Yield samples in order with their decoded images, or why there is none, and the digests of their files."""

    def decode(sample: AnnotatedImage) -> tuple[AnnotatedImage, RGBImage | ImageError, str]:
        try:
            content = read_bytes(sample.path, MAX_IMAGE_BYTES)
            image = read_image(content, target=target, name=str(sample.path))
            return sample, image, hashlib.blake2b(content, digest_size=16).hexdigest()
        except OSError as error:
            return sample, ImageError(str(sample.path), error.strerror or str(error)), ""
        except ImageError as error:
            return sample, error, ""

    threads = os.cpu_count() or 1
    left = iter(samples)
    with ThreadPoolExecutor(threads) as pool:
        ahead = [pool.submit(decode, sample) for sample in islice(left, 4 * threads)]  # bounds what waits in memory
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(decode, sample) for sample in islice(left, 1)]


def summarize(name: str, data: DetectionSet, shown: int = 3) -> Iterator[str]:
    """Yield what a set contains and what is odd about it, in a few lines.

    Args:
        name: What the set is called.
        data: The set.
        shown: How many entries of each kind are spelled out.
    """
    boxes = data.boxes_per_class()
    counts = (len(data), "image"), (sum(boxes.values()), "box"), (data.report.kinds.total(), "issue")
    yield f"{name}: {', '.join(amount(*count) for count in counts)}"
    yield "boxes by class: " + ", ".join(
        f"{brief(repr(label) if ',' in label else label)} {count}" for label, count in boxes.items()
    )
    if data.landmarks:
        known = [np.isfinite(sample.boxes.landmarks).all(axis=2).sum() for sample in data.samples]
        names, classes = ", ".join(data.landmarks.names), ", ".join(data.landmarks.classes)
        yield f"landmarks of {classes}: {names}; {sum(known)} are known"
    yield from data.report.lines(shown)
