"""Contact sheets: many images with boxes and landmarks on one, to see what a network is taught and predicts."""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vision_app.core.draw import WHITE, draw_label, label_color
from vision_app.core.labeled_boxes import REGION, LabeledBoxes

BACKGROUND, IGNORED = (24, 24, 24), (170, 170, 170)
GAP, DASH, TEXT, DOT = 6, 5, 12, 2  # pixels; of a dot the radius
UNCERTAIN = 0.995  # scores below this are written beside the label


def contact_sheet(
    images: Sequence[np.ndarray] | Tensor,
    boxes: Sequence[LabeledBoxes],
    classes: Sequence[str],
    *,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    side: int = 320,
) -> np.ndarray:
    """Draw images with their boxes in rows from the top left; ignored boxes are gray and dashed, regions left out.

    Each of the K landmarks has a color of its own, the same in all images, so that left and right can be told apart.

    Args:
        images: (H, W, 3) uint8 RGB each, of any size, or (3, H, W) tensors in 0..1 as networks take them.
        boxes: The boxes of each image, in its pixels.
        classes: Names of the labels.
        captions: A line for under each image.
        columns: Images per row.
        side: Side of the square that each image is fitted into, in pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: There are no images, or not as many boxes or captions as images.
    """
    if not len(images):
        raise ValueError("a contact sheet needs an image")
    captions = [""] * len(images) if captions is None else captions
    columns, font = min(columns, len(images)), ImageFont.load_default(size=TEXT)
    tiles = [_tile(_pixels(image), one, classes, side) for image, one in zip(images, boxes, strict=True)]
    tops, height = [], GAP  # of the rows
    for start in range(0, len(tiles), columns):
        tops.append(height)
        height += max(tile.height for tile in tiles[start : start + columns]) + GAP + (TEXT + GAP) * any(captions)
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, height), BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = GAP + i % columns * (side + GAP), tops[i // columns]
        sheet.paste(tile, (x + (side - tile.width) // 2, y))
        canvas.text((x + side // 2, y + tile.height + GAP // 2), caption, font=font, fill=WHITE, anchor="ma")
    return np.array(sheet)


def _pixels(image: ArrayLike) -> np.ndarray:
    """Return (H, W, 3) uint8 pixels of an image as `contact_sheet` takes it."""
    array = np.asarray(image)
    if array.dtype == np.uint8:
        return array
    pixels: np.ndarray = np.rint(array.transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)
    return pixels


def _tile(pixels: np.ndarray, boxes: LabeledBoxes, classes: Sequence[str], side: int) -> Image.Image:
    """Return the image with its long side scaled to `side`, and its boxes on it."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = Image.fromarray(pixels).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    canvas, font = ImageDraw.Draw(tile), ImageFont.load_default(size=TEXT)
    assert isinstance(font, ImageFont.FreeTypeFont)
    boxes = boxes.scaled(scale)
    for box in boxes.xyxy[boxes.ignored]:
        _dashed(canvas, *np.rint(box).astype(int).tolist())
    shown = boxes[~boxes.ignored & (boxes.labels != REGION)]
    tags = []
    for box, label, score in zip(shown.xyxy, shown.labels.tolist(), shown.scores, strict=True):
        name = classes[label]
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        canvas.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=label_color(name), width=2)
        tags.append((f"{name} {score:.2f}" if score < UNCERTAIN else name, (left, top), label_color(name)))
    for points in shown.landmarks:
        for i, (x, y) in enumerate(points.tolist()):
            if np.isfinite([x, y]).all():
                canvas.circle((x, y), DOT, fill=landmark_color(i, len(points)), outline=WHITE)
    for text, corner, color in tags:  # over all boxes, so that no line runs through a name
        draw_label(canvas, text, corner, color, font)
    return tile


def landmark_color(index: int, count: int) -> tuple[int, int, int]:
    """Return the RGB color, 0 to 255 each, of one of the landmarks of a box."""
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(index / count, 1.0, 1.0))
    return red, green, blue


def _dashed(canvas: ImageDraw.ImageDraw, left: int, top: int, right: int, bottom: int) -> None:
    """Draw the outline of a box in gray dashes."""
    right, bottom = right - 1, bottom - 1
    for x in range(left, right, 2 * DASH):
        for y in (top, bottom):
            canvas.line((x, y, min(x + DASH, right), y), fill=IGNORED, width=2)
    for y in range(top, bottom, 2 * DASH):
        for x in (left, right):
            canvas.line((x, y, x, min(y + DASH, bottom)), fill=IGNORED, width=2)
