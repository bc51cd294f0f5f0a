"""Draw noise, palettes, brush strokes, cells and light, of which the sample styles are made.

A field is an (H, W) float32 array, usually of numbers from 0 to 1; a canvas is (H, W, 3) float32 RGB from 0 to 1.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fields of x and y, each 0 to 1 over the image."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    return x, y


def noise(random: np.random.Generator, size: int, cells: int, octaves: int = 4) -> np.ndarray:
    """Return a smooth random field of about that many hills a side, with ever finer ones of half the height on them.

    Its mean is 0.5, and about nineteen of twenty values lie inside of 0 to 1; the others are clipped.
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        coarse = random.standard_normal(2 * (min(size, cells * 2**octave) + 3,)).astype(np.float32)
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.clip(0.5 + 0.25 * (total - total.mean()) / total.std(), 0, 1)


def palette(field: np.ndarray, colors: Sequence[str]) -> np.ndarray:
    """Return the color of every value of a field: from 0 to 1 through these, such as "#ff8000", one into the next."""
    table = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])  # (colors, 3)
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(field, stops, channel) for channel in table.T], axis=-1).astype(np.float32)


def smoothstep(low: float, high: float, field: np.ndarray) -> np.ndarray:
    """Return 0 where the field is below `low`, 1 above `high` and a soft edge between."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return two canvases laid over each other: the second one by its share at each place, a field."""
    return first + (second - first) * share[..., None]


def lit(canvas: np.ndarray, height: np.ndarray, strength: float) -> np.ndarray:
    """Return a canvas as if the field were its relief, with the light from above on the left."""
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) + cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return canvas * np.clip(1 + strength * slope, 0.4, 1.6)[..., None]


def cells(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for every pixel the number of the nearest point, and how far the edge to the next cell is, in pixels.

    Args:
        points: (N, 2) x and y in pixels.
        size: Side of the image in pixels.
    """
    y, x = np.mgrid[:size, :size]
    distances, owners = cKDTree(points).query(np.stack([x, y], axis=-1), k=2)  # both (size, size, 2)
    return owners[..., 0], ((distances[..., 1] - distances[..., 0]) / 2).astype(np.float32)


def strokes(
    canvas: np.ndarray,
    colors: np.ndarray,
    angle: np.ndarray,
    random: np.random.Generator,
    *,
    count: int,
    length: float,
    width: int,
    bristles: int = 4,
    jitter: float = 0.05,
) -> np.ndarray:
    """Paint brush strokes in random order, and return the canvas with the relief of the paint on it.

    Args:
        canvas: (H, W, 3) to paint on.
        colors: (H, W, 3) color of the strokes that begin at each place.
        angle: (H, W) direction of strokes in radians.
        random: Decides where they begin.
        count: Number of strokes.
        length: Length of a stroke in pixels.
        width: Width of a stroke in pixels.
        bristles: Lines that a stroke is made of, each of a slightly different color.
        jitter: Standard deviation of colors.
    """
    size, steps = len(canvas), 6
    place = random.uniform(0, size, (count, 2))  # (count, 2) x and y
    x, y = place.astype(int).T
    tone = (
        colors[y, x][:, None] + random.normal(0, jitter, (count, 1, 3)) + random.normal(0, jitter, (count, bristles, 1))
    )
    path = np.empty((count, steps, 2))
    for step in range(steps):
        path[:, step] = place
        x, y = np.clip(place, 0, size - 1).astype(int).T
        way = np.stack([np.cos(angle[y, x]), np.sin(angle[y, x])], axis=-1)  # (count, 2)
        place = place + way * length / steps
    aside = way[:, ::-1] * [-1, 1]  # (count, 2), across the stroke
    offsets = (np.arange(bristles) - (bristles - 1) / 2) * width / bristles
    lines = path[:, None] + aside[:, None, None] * offsets[:, None, None]  # (count, bristles, steps, 2)
    fixed = np.rint(lines * 16).astype(np.int32)  # sixteenths of a pixel
    paint = np.dstack([canvas, np.full((size, size), 0.5)]).astype(np.float32)  # the fourth channel is the height
    heights = random.uniform(0, 1, (count, bristles))
    thickness = max(1, round(1.5 * width / bristles))
    tone = np.clip(np.concatenate([tone, heights[..., None]], axis=-1), 0, 1).tolist()
    for stroke in range(count):
        for bristle in range(bristles):
            cv2.polylines(paint, [fixed[stroke, bristle]], False, tone[stroke][bristle], thickness, cv2.LINE_8, 4)
    paint = cv2.GaussianBlur(paint, (0, 0), 0.6)
    return lit(paint[..., :3], paint[..., 3], 0.08)
