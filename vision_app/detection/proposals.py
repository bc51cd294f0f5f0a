"""Selective search: boxes that may hold an object, of any class, found from color and texture alone.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition", IJCV 2013. An image is cut into
small regions (Felzenszwalb and Huttenlocher, 2004); then the two most similar neighbors become one region, again and
again until one is left. Every region on the way gives its bounding box. Doing so for several color spaces, sizes of the
first regions and measures of similarity finds objects that one way misses.
"""

import hashlib
import os
from importlib.metadata import version
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from skimage.segmentation import felzenszwalb

from vision_app.core.boxes import nms
from vision_app.core.files import atomic_write, read_bytes

SIDE = 208  # pixels of the long side that is worked on; larger images are reduced, which also bounds the time
SPACES = ("hsv", "lab")  # color spaces, for the segmentation and for the similarity of color
SCALES = (25, 50)  # k of the segmentation: the larger, the larger are its regions; also their least size in pixels
SIGMA = 0.8  # of the blur before the segmentation, in pixels, as in the paper
MEASURES = ("CTSF", "TSF", "F", "S")  # similarities: sums of color, texture, size and fill, in the paper's letters
COLORS, ORIENTATIONS, STRENGTHS = 25, 8, 10  # bins a channel, as in the paper
SHORTEST = 4  # pixels; boxes with a shorter side are left out
VERSION = 1  # of the search; to be raised when the same settings give other boxes, as its files are kept
ALIKE = 0.8  # IoU; of two boxes that overlap by this or more the better one is kept


def selective_search(pixels: np.ndarray, *, most: int | None = 2000) -> np.ndarray:
    """Propose boxes for the objects of an image; the same image always gives the same ones.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        most: Return no more than this many, the best ones; None for all.

    Returns:
        (N, 4) float32 xyxy in pixels of the image, best first, no two with an IoU of ALIKE or more. The first is the
        whole image. Fewer boxes are the beginning of more.
    """
    height, width = pixels.shape[:2]
    small = _reduced(pixels)
    spaces, texture = _color_spaces(small), _texture_bins(small)
    hierarchies = []
    for space, scale in product(SPACES, SCALES):
        values = spaces[space]
        labels = felzenszwalb(values.astype(np.float64), scale=scale, sigma=SIGMA, min_size=scale)  # (h, w)
        regions = Segments(labels, np.minimum(values * COLORS, COLORS - 1).astype(np.intp), texture)
        hierarchies += [merge(regions, measure)[::-1] for measure in MEASURES]
    boxes = _by_level(hierarchies) * np.array([width, height] * 2, np.float32)
    boxes /= np.array([small.shape[1], small.shape[0]] * 2, np.float32)
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= SHORTEST
    large[0] = True  # the whole image, however narrow
    boxes = boxes[large]
    count = len(boxes) if most is None else most
    ranks = np.arange(len(boxes), 0, -1)
    best: np.ndarray = boxes[nms(boxes, ranks, score_threshold=0, iou_threshold=ALIKE, max_detections=count)]
    return best


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Return the image with a long side of no more than SIDE pixels."""
    height, width = pixels.shape[:2]
    ratio = SIDE / max(height, width)
    if ratio >= 1:
        return pixels
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _color_spaces(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return (h, w, 3) float32 channels from 0 to 1 of (h, w, 3) uint8 RGB, by the space's name."""
    rgb = pixels.astype(np.float32) / 255
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV) / np.array([360, 1, 1], np.float32)
    shifted = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB) + np.array([0, 128, 128], np.float32)
    return {"hsv": hsv, "lab": shifted / np.array([100, 255, 255], np.float32)}


def _texture_bins(pixels: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) bins of (h, w, 3) uint8 RGB: the direction in which a channel rises, and how steeply.

    The derivatives are those of a Gaussian with a standard deviation of one pixel, as in the paper, which takes a
    histogram of steepness for each of eight directions; here a pixel counts once, for the direction that it has.
    """
    blurred = cv2.GaussianBlur(pixels.astype(np.float32) / 255, (0, 0), 1)
    dx, dy = cv2.Sobel(blurred, -1, 1, 0, ksize=1), cv2.Sobel(blurred, -1, 0, 1, ksize=1)
    turns = np.arctan2(dy, dx) / np.float32(2 * np.pi)  # -0.5 to 0.5
    orientation = np.floor(turns * ORIENTATIONS).astype(np.intp) % ORIENTATIONS
    strength = np.sqrt(np.hypot(dx, dy)) * 1.4  # the root spreads out the many small ones
    return orientation * STRENGTHS + np.minimum(strength * STRENGTHS, STRENGTHS - 1).astype(np.intp)


class Segments:
    """The n regions of a segmentation.

    Args:
        labels: (h, w) regions from 0 to n - 1.
        colors: (h, w, 3) bins below COLORS.
        texture: (h, w, 3) bins below ORIENTATIONS * STRENGTHS.

    Attributes:
        area: Of the image, in pixels.
        sizes: (n,) float32 pixels.
        extents: (n, 4) float32 -x1, -y1, x2, y2: the joint box of two regions is the larger of each.
        color: (n, bins) float32 histograms; each sums to 1.
        texture: The same of texture.
        neighbors: Two (p,) arrays, the pairs of regions that touch, the lower number first.
    """

    def __init__(self, labels: np.ndarray, colors: np.ndarray, texture: np.ndarray):
        self.area, count = float(labels.size), int(labels.max()) + 1
        self.sizes = np.bincount(labels.ravel(), minlength=count).astype(np.float32)
        self.extents = _extents(labels, self.sizes)
        self.color = _histograms(colors, COLORS, labels, count)
        self.texture = _histograms(texture, ORIENTATIONS * STRENGTHS, labels, count)
        across = np.stack([labels[:, 1:].ravel(), labels[:, :-1].ravel()])
        down = np.stack([labels[1:].ravel(), labels[:-1].ravel()])
        low, high = np.sort(np.concatenate([across, down], axis=1), axis=0)
        self.neighbors = np.divmod(np.unique((low * count + high)[low < high]), count)


def _extents(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return (n, 4) float32 -x1, -y1, x2, y2 of (h, w) regions, given their (n,) sizes."""
    y, x = np.divmod(np.argsort(labels, axis=None, kind="stable"), labels.shape[1])  # pixels, region by region
    starts = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.intp)])
    sides = [np.maximum.reduceat(side, starts) for side in (-x, -y, x + 1, y + 1)]
    return np.stack(sides, axis=1).astype(np.float32)


def _histograms(values: np.ndarray, bins: int, labels: np.ndarray, count: int) -> np.ndarray:
    """Return (count, 3 * bins) float32 shares, each row sums to 1, of (h, w, 3) bins and (h, w) regions."""
    cells = (labels[:, :, None] * 3 + np.arange(3)) * bins + values
    numbers = np.bincount(cells.ravel(), minlength=count * 3 * bins).reshape(count, -1)
    shares: np.ndarray = numbers / numbers.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def merge(regions: Segments, measure: str) -> np.ndarray:
    """Join the two most similar neighbors until one region is left.

    The similarity of two regions a and b is the sum of those of these terms that `measure` names:
        C, T: the sum over all bins of the smaller of both shares in their histograms of color, of texture;
        S: 1 - (size(a) + size(b)) / size of the image, so that small regions are joined early;
        F: 1 - (size of the joint box - size(a) - size(b)) / size of the image, so that no holes are left.

    Args:
        regions: The first regions.
        measure: Letters of C, T, S and F.

    Returns:
        (2 n - 1, 4) float32 xyxy: the boxes of the n regions, then those of the joined ones as they come about. The
        last is the whole image.
    """
    sizes, extents, count = regions.sizes.copy(), regions.extents.copy(), len(regions.sizes)
    chosen = [part for letter, part in (("C", regions.color), ("T", regions.texture)) if letter in measure]
    histograms = np.hstack([np.zeros((count, 0), np.float32), *chosen])
    by_size, by_fill = ("S" in measure) / regions.area, ("F" in measure) / regions.area

    def similarity(a: np.ndarray | int, b: np.ndarray) -> np.ndarray:  # less the ones of S and F, which all have
        joint, size = np.maximum(extents[a], extents[b]), sizes[a] + sizes[b]
        box = (joint[:, 0] + joint[:, 2]) * (joint[:, 1] + joint[:, 3])
        shared = np.minimum(histograms[a], histograms[b]).sum(axis=1)
        result: np.ndarray = shared - by_size * size - by_fill * (box - size)
        return result

    table = np.full((count, count), -np.inf, np.float32)  # similarities of neighbors
    one, other = regions.neighbors
    table[one, other] = table[other, one] = similarity(one, other)
    best = table.max(axis=1)
    boxes = np.empty((2 * count - 1, 4), np.float32)
    boxes[:count] = extents
    for step in range(count, 2 * count - 1):  # region i takes in region j
        i = int(best.argmax())
        j = int(table[i].argmax())
        size = sizes[i] + sizes[j]
        histograms[i] = (histograms[i] * sizes[i] + histograms[j] * sizes[j]) / size
        sizes[i] = size
        boxes[step] = extents[i] = np.maximum(extents[i], extents[j])
        row = np.maximum(table[i], table[j])
        row[[i, j]] = table[j] = table[:, j] = best[j] = -np.inf
        near = np.flatnonzero(row > -np.inf)
        row[near] = table[near, i] = similarity(i, near)
        table[i] = row
        best[near], best[i] = table[near].max(axis=1), row.max()
    return np.abs(boxes)


def _by_level(hierarchies: list[np.ndarray]) -> np.ndarray:
    """Join the boxes of hierarchies, each from the whole image down, level by level and every box once.

    The paper multiplies levels by random numbers, so that large boxes do not come before all small ones. Among the
    first hundreds of proposals nearly equal ones do more harm: without those, the plain order finds more objects.
    """
    levels = np.concatenate([np.arange(len(boxes)) for boxes in hierarchies])
    boxes = np.concatenate(hierarchies)[np.argsort(levels, kind="stable")]
    return boxes[np.sort(np.unique(boxes, axis=0, return_index=True)[1])]


class ProposalCache:
    """Proposals on disk: those of an image are computed once, also when several processes share the folder.

    A file has a digest of the rest, which reveals a damaged one, and all boxes as float32.

    Args:
        folder: Gets one file per image; made when the first one is written.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)

    def __call__(self, pixels: np.ndarray, most: int | None = 2000) -> np.ndarray:
        """Return what `selective_search` gives, from the disk where it is there."""
        path = self.folder / f"{_key(pixels)}.boxes"
        content = read_bytes(path) if path.exists() else b""
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            boxes = np.frombuffer(content[32:], "<f4").astype(np.float32).reshape(-1, 4)
        else:  # missing or damaged
            boxes = selective_search(pixels, most=None)
            content = boxes.astype("<f4").tobytes()
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
        return boxes[:most]


def _key(pixels: np.ndarray) -> str:
    """Return a name that changes with any pixel, any setting and any version of the search."""
    search = (VERSION, version("scikit-image"), SIDE, SPACES, SCALES, SIGMA, MEASURES)
    settings = (*search, COLORS, ORIENTATIONS, STRENGTHS, SHORTEST, ALIKE)
    digest = hashlib.sha256(repr((settings, pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]
