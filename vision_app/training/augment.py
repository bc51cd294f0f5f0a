"""Augmentation of images with boxes and landmarks: mosaic of our own, everything else by albumentations.

Every random choice of a sample comes from one generator of its own, seeded by (seed, epoch, index), so that worker
processes, their number and a resumed run cannot change it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import albumentations as A
import cv2
import numpy as np

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.core.letterbox import PAD, letterbox_shape
from vision_app.data.samples import DetectionSet

SMALLEST_SIDE = 2.0  # pixels; what is left of a box below this is no object any more
SMALLEST_PART = 0.2  # fraction of a box that must stay in the image
ASPECT = 0.1  # largest random change of the logarithm of height / width, halved between the two
LARGEST_ZOOM = 1.5  # of the long side relative to the scene: more pixels of an image are never used


def random_numbers(purpose: str, *seed: int) -> np.random.Generator:
    """Return a stream of random numbers for one purpose, such as "order", and no other one with the same seed.

    A seed alone is not enough: to NumPy, (1, 2) and (1, 2, 0) are the same.
    """
    return np.random.default_rng((*purpose.encode(), *seed))


@dataclass(frozen=True)
class Scene:
    """An image and its boxes on the way through augmentation.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        boxes: M boxes in pixels, in float32; landmarks are NaN where a point is not in the image.
    """

    pixels: np.ndarray
    boxes: LabeledBoxes


def whole_scene(data: DetectionSet, index: int) -> Scene:
    """Return an image of a set as it is, possibly decoded at a reduced size, with its boxes."""
    sample, pixels = data.samples[index], data.pixels(index)
    scale = pixels.shape[1] / sample.width, pixels.shape[0] / sample.height
    return Scene(pixels, sample.boxes.scaled(scale))


def fitting_scale(width: int, height: int, size: int, stretch: float) -> np.ndarray:
    """Return (2,) scene pixels per image pixel along x and y with which an image fills (size, size), as in prediction.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        size: Side of the scene in pixels.
        stretch: See `letterbox.letterbox_shape`.
    """
    rows, columns, *_ = letterbox_shape(width, height, size, stretch)
    return np.array([columns / width, rows / height])


def place(
    scene: Scene,
    canvas: np.ndarray,
    scale: Sequence[float] | np.ndarray,
    origin: Sequence[float] | np.ndarray,
    window: tuple[int, int, int, int],
) -> Scene:
    """Draw a scaled scene into a window of a canvas, in place, and return the canvas with the scene's boxes there.

    Args:
        scene: What to draw.
        canvas: (H, W, 3) uint8, written to.
        scale: Canvas pixels per scene pixel along x and y.
        origin: Where the scene's top left corner goes on the canvas, (x, y), possibly outside; rounded to a pixel.
        window: (x1, y1, x2, y2) integers; nothing outside is touched.
    """
    x1, y1, x2, y2 = window
    height, width = scene.pixels.shape[:2]
    rows, columns = max(1, round(height * scale[1])), max(1, round(width * scale[0]))
    left, top = round(origin[0]), round(origin[1])
    interpolation = cv2.INTER_AREA if min(scale) < 1 else cv2.INTER_LINEAR  # as the letterbox of prediction
    scaled = cv2.resize(scene.pixels, (columns, rows), interpolation=interpolation)
    canvas[y1:y2, x1:x2] = PAD
    x3, y3, x4, y4 = max(x1, left), max(y1, top), min(x2, left + columns), min(y2, top + rows)
    if x3 < x4 and y3 < y4:
        canvas[y3:y4, x3:x4] = scaled[y3 - top : y4 - top, x3 - left : x4 - left]
    moved = scene.boxes.scaled((columns / width, rows / height), (left, top))
    inside = moved.xyxy.clip(np.array([x1, y1, x1, y1], np.float32), np.array([x2, y2, x2, y2], np.float32))
    before = (moved.xyxy[:, 2:] - moved.xyxy[:, :2]).prod(axis=1)
    size = inside[:, 2:] - inside[:, :2]
    keep = (size >= SMALLEST_SIDE).all(axis=1) & (size.prod(axis=1) >= SMALLEST_PART * before)
    return Scene(canvas, inside_only(replace(moved, xyxy=inside)[keep], window))


def inside_only(boxes: LabeledBoxes, window: Sequence[float]) -> LabeledBoxes:
    """Return boxes with NaN for the landmarks that lie outside a window (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = window
    inside = ((boxes.landmarks >= (x1, y1)) & (boxes.landmarks <= (x2, y2))).all(axis=2, keepdims=True)
    return replace(boxes, landmarks=np.where(inside, boxes.landmarks, np.float32(np.nan)))


@dataclass(frozen=True)
class SceneScale:
    """How images are scaled into a scene.

    Attributes:
        size: Side of the scene in pixels.
        stretch: See `fitting_scale`.
        zoom: Range of the random scale relative to that with which an image fills the scene.
    """

    size: int
    stretch: float
    zoom: tuple[float, float]

    def draw(self, scene: Scene, generator: np.random.Generator) -> np.ndarray:
        """Return (2,), a random scale along x and y for an image."""
        height, width = scene.pixels.shape[:2]
        zoom, aspect = generator.uniform(*np.log(self.zoom)), generator.uniform(-ASPECT, ASPECT) / 2
        return fitting_scale(width, height, self.size, self.stretch) * np.exp([zoom - aspect, zoom + aspect])

    def canvas(self) -> np.ndarray:
        """Return an empty scene, (size, size, 3) uint8."""
        return np.empty((self.size, self.size, 3), np.uint8)


def random_crop(scene: Scene, scales: SceneScale, generator: np.random.Generator) -> Scene:
    """Return a random crop or a shrunken copy on gray, (size, size)."""
    scale, size = scales.draw(scene, generator), scales.size
    room = size - np.array(scene.pixels.shape[1::-1]) * scale  # negative: the crop moves, positive: the image does
    origin: np.ndarray = generator.uniform(np.minimum(room, 0), np.maximum(room, 0))
    return place(scene, scales.canvas(), scale, origin, (0, 0, size, size))


def mosaic(scenes: Sequence[Scene], scales: SceneScale, generator: np.random.Generator) -> Scene:
    """Return four scenes around a random point of one (size, size) image (Bochkovskiy et al., 2020)."""
    size, canvas, placed = scales.size, scales.canvas(), []
    cx, cy = (int(c) for c in generator.uniform(0.3 * size, 0.7 * size, 2))
    windows = ((0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size))
    for scene, window in zip(scenes, windows, strict=True):
        scale = scales.draw(scene, generator)
        width, height = scene.pixels.shape[1::-1] * scale
        # the corner that touches the point in the middle stays there, as far as the scene fills its window
        x = cx - width if window[0] == 0 else cx
        y = cy - height if window[1] == 0 else cy
        placed.append(place(scene, canvas, scale, (x, y), window).boxes)
    return Scene(canvas, LabeledBoxes.concatenate(placed))


def default_transforms(degraded: float = 0.0) -> A.Compose:
    """Return flip, rotation, color shift, contrast, noise, blur, compression and information loss.

    Args:
        degraded: Probability of each of what old and tiny images have been through besides: no colors, a low
            resolution, strong compression.
    """
    more = [
        A.ToGray(p=degraded),
        A.Downscale(scale_range=(0.25, 0.8), p=degraded),
        A.ImageCompression(quality_range=(20, 70), p=degraded),
    ]
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(rotate=(-8, 8), shear=(-3, 3), fill=PAD, rotate_method="ellipse", p=0.2),
            A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=40, val_shift_limit=30, p=0.5),
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.3),
            A.ToGray(p=0.03),
            A.OneOf([A.GaussNoise((0.02, 0.08)), A.GaussianBlur((3, 5)), A.ImageCompression()], p=0.1),
            A.CoarseDropout((1, 4), hole_height_range=(0.05, 0.15), hole_width_range=(0.05, 0.15), p=0.1),
            *(more if degraded else ()),
        ],
        bbox_params=A.BboxParams(
            format="pascal_voc", label_fields=["rows"], min_visibility=SMALLEST_PART, min_area=4, clip=True
        ),
        keypoint_params=A.KeypointParams(format="xy", remove_invisible=False),
    )


def transformed(scene: Scene, transforms: A.Compose, flip: Sequence[int] = ()) -> Scene:
    """Return a scene after some of albumentations' transforms.

    Three points of the image travel along with the landmarks: where they come out mirrored, so is the image, and left
    and right landmarks change places.

    Args:
        scene: The scene before.
        transforms: Such as `default_transforms`.
        flip: See `released.landmarks.Landmarks`.
    """
    height, width = scene.pixels.shape[:2]
    known = np.isfinite(scene.boxes.landmarks).all(axis=2)
    points = np.concatenate([[(0, 0), (width, 0), (0, height)], scene.boxes.landmarks[known]])
    out = transforms(
        image=scene.pixels, bboxes=scene.boxes.xyxy, rows=np.arange(len(scene.boxes)),
        keypoints=points - 0.5,  # to albumentations, whole numbers are the centers of pixels
    )  # fmt: skip
    origin, right, down, *moved = np.asarray(out["keypoints"], np.float32) + np.float32(0.5)
    landmarks = scene.boxes.landmarks.copy()
    landmarks[known] = np.reshape(moved, (-1, 2))
    if np.linalg.det([right - origin, down - origin]) < 0:
        landmarks = landmarks[:, list(flip)]
    rows = np.asarray(out["rows"], int).reshape(-1)
    xyxy = np.asarray(out["bboxes"], np.float32).reshape(-1, 4)
    boxes = replace(scene.boxes[rows], xyxy=xyxy, landmarks=landmarks[rows])
    return Scene(out["image"], inside_only(boxes, (0, 0, width, height)))


@dataclass
class Augmenter:
    """Turns images into training scenes.

    Attributes:
        size: Side of the square scenes in pixels.
        seed: Random seed.
        mosaic: Probability that a scene is made of four images.
        zoom: See `SceneScale`.
        stretch: See `SceneScale`.
        flip: See `released.landmarks.Landmarks`; of the images' K landmarks.
        degraded: See `default_transforms`.
    """

    size: int
    seed: int
    mosaic: float = 0.7
    zoom: tuple[float, float] = (0.5, 1.5)
    stretch: float = 1.0
    flip: tuple[int, ...] = ()
    degraded: float = 0.0

    def __post_init__(self) -> None:
        self._transforms = default_transforms(self.degraded)

    def __call__(self, load: Callable[[int], Scene], count: int, epoch: int, index: int, close: bool) -> Scene:
        """Return one scene.

        Args:
            load: Gives the scene of an image by its index, as it is.
            count: How many images there are to draw a mosaic's partners from.
            epoch: Which epoch.
            index: Which image.
            close: The last epochs show single images only, so that the network ends on what it will see.
        """
        generator = random_numbers("scene", self.seed, epoch, index)
        if not close and generator.random() < self.mosaic:
            partners = generator.integers(count, size=3)
            scales = SceneScale(self.size, self.stretch, self.zoom)
            scene = mosaic([load(i) for i in (index, *partners)], scales, generator)
        else:
            zoom = (max(self.zoom[0], 0.7), min(self.zoom[1], 1.3)) if close else self.zoom
            scene = random_crop(load(index), SceneScale(self.size, self.stretch, zoom), generator)
        self._transforms.set_random_seed(int(generator.integers(2**31)))
        return transformed(scene, self._transforms, self.flip)
