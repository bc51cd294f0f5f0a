"""Boxes drawn on images, and pieces cut out of images."""

import colorsys
from collections.abc import Sequence
from importlib.util import find_spec
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_app.core.decode import upright_pixels
from vision_app.core.images import ImageSource, read_image
from vision_app.core.results import Detections
from vision_app.core.several import several

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def draw(image: ImageSource, detections: Detections, captions: str | Sequence[str] | None = None) -> np.ndarray:
    """Draw every box with its label and score; line width and text follow the size of the image.

    Args:
        image: Anything that `read_image` takes. It may be smaller than the image of the detections; boxes are scaled
            to it.
        detections: What to draw. Better scores are drawn over weaker ones.
        captions: What to write at each box instead.

    Returns:
        (H, W, 3) uint8 RGB, a new array of the size of the image's pixels.

    Raises:
        ImageError: The image cannot be read.
    """
    drawn = Image.fromarray(read_image(image).pixels)  # a copy: Pillow stores RGB with four bytes a pixel
    scale = np.tile([drawn.width / detections.width, drawn.height / detections.height], 2)
    thickness = max(2, round(max(drawn.size) / 300))
    font = _font(max(11, max(drawn.size) // 50))
    canvas = ImageDraw.Draw(drawn)
    captions = captions or [f"{detection.label} {detection.score:.2f}" for detection in detections]
    for detection, caption in reversed(list(zip(detections, several(captions), strict=True))):
        color = label_color(detection.label)
        left, top, right, bottom = np.rint(detection.box * scale).astype(int).tolist()
        canvas.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=color, width=thickness)
        for x, y in [] if detection.landmarks is None else detection.landmarks * scale[:2]:
            canvas.circle((x, y), thickness + 1, fill=color)
        draw_label(canvas, caption, (left, top), color, font)
    return upright_pixels(drawn)[0]


def label_color(label: str) -> tuple[int, int, int]:
    """Return a bright RGB color, 0 to 255 each, that is always the same for the same label."""
    hue = crc32(label.encode()) % 360 / 360
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.8, 0.95))
    return red, green, blue


def crop(image: ImageSource, box: Sequence[float], margin: float = 0.0) -> np.ndarray:
    """Cut a box out of an image.

    Args:
        image: Anything that `read_image` takes.
        box: x1, y1, x2, y2 in pixels of the full image.
        margin: How much to add on each side, as a fraction of the box's width and height.

    Returns:
        (h, w, 3) uint8 RGB, a new array: the pixels that the box touches, as far as they lie in the image.

    Raises:
        ImageError: The image cannot be read.
        ValueError: The box lies outside the image.
    """
    image = read_image(image)
    height, width = image.pixels.shape[:2]
    scale = np.tile([width / image.width, height / image.height], 2)
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64) * scale
    extra_x, extra_y = margin * (x2 - x1), margin * (y2 - y1)
    left, top = max(0, int(np.floor(x1 - extra_x))), max(0, int(np.floor(y1 - extra_y)))
    right, bottom = min(width, int(np.ceil(x2 + extra_x))), min(height, int(np.ceil(y2 + extra_y)))
    if left >= right or top >= bottom:
        raise ValueError(f"the box {[float(value) for value in box]} lies outside the image or is empty")
    return image.pixels[top:bottom, left:right].copy()


def draw_label(
    canvas: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    color: tuple[int, int, int],
    font: ImageFont.FreeTypeFont,
) -> None:
    """Write `text` on a filled box that stands on the box's top left corner, moved to stay inside the image."""
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    pad = max(1, round(font.size / 6))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(corner[0], canvas.im.size[0] - width))
    y = corner[1] - height if corner[1] >= height else max(0, min(corner[1], canvas.im.size[1] - height))
    canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]  # ITU-R BT.601
    canvas.text((x + pad - left, y + pad - top), text, font=font, fill=BLACK if luminance > 140 else WHITE)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Matplotlib's font: Pillow's own has no letters but those of English."""
    matplotlib = find_spec("matplotlib")  # not imported: that takes long
    assert matplotlib is not None and matplotlib.submodule_search_locations
    return ImageFont.truetype(f"{matplotlib.submodule_search_locations[0]}/mpl-data/fonts/ttf/DejaVuSans.ttf", size)
