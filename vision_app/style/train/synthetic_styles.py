"""Synthetic styles to train on: photos rendered in strokes, cells, dots and new colors, and patterns."""

from collections.abc import Callable

import cv2
import numpy as np

Painter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Renders a photo, (S, S, 3) uint8, in one way of its own."""


def synthesize(photo: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a style that one of `PAINTERS` makes of a photo, most of the time in other colors.

    Args:
        photo: (S, S, 3) uint8.
        other: (S, S, 3) uint8, whose colors may replace the photo's.
        random: Decides everything.

    Returns:
        (S, S, 3) uint8.
    """
    painter = PAINTERS[random.choice(list(PAINTERS), p=SHARES)]
    recolor = (unchanged, gradient_map, swapped, colors_of)[random.choice(4, p=(0.25, 0.3, 0.2, 0.25))]
    return painter(recolor(photo, other, random), random)


# Colors ---------------------------------------------------------------------------------------------------------------


def unchanged(photo: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Keep the colors."""
    return photo


def gradient_map(photo: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Map each shade of gray to a color, from a palette of three to six."""
    return np.asarray(palette(random)[cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)])


def swapped(photo: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Permute red, green and blue, invert some of them, and change the contrast."""
    image = photo[..., random.permutation(3)].astype(np.float32)
    image = np.where(random.random(3) < 0.3, 255 - image, image)
    return to_bytes((image - 128) * random.uniform(0.8, 1.8) + 128 + random.uniform(-30, 30))


def colors_of(photo: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Give the photo the mean and deviation of another photo's colors (Reinhard et al., 2001)."""
    image, wanted = (cv2.cvtColor(x, cv2.COLOR_RGB2LAB).astype(np.float32) for x in (photo, other))
    moved = (image - image.mean((0, 1))) / (image.std((0, 1)) + 1) * wanted.std((0, 1)) + wanted.mean((0, 1))
    return cv2.cvtColor(to_bytes(moved), cv2.COLOR_LAB2RGB)


def palette(random: np.random.Generator) -> np.ndarray:
    """Interpolate a few random colors, from dark to light or in any order: (256, 3) uint8."""
    count = random.integers(3, 7)
    hues = random.uniform(0, 180) + random.normal(0, random.uniform(10, 60), count)
    values = np.sort(random.uniform(20, 255, count)) if random.random() < 0.7 else random.uniform(20, 255, count)
    corners = np.stack([hues % 180, random.uniform(40, 255, count), values], -1)
    corners = cv2.cvtColor(to_bytes(corners)[None], cv2.COLOR_HSV2RGB)[0].astype(np.float32)
    places = np.linspace(0, count - 1, 256)
    return to_bytes(np.stack([np.interp(places, np.arange(count), corners[:, i]) for i in range(3)], -1))


# Painters -------------------------------------------------------------------------------------------------------------


def crop(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Keep the photo."""
    return photo


def strokes(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Paint brush strokes, along a random flow or along edges, wide ones first (Litwinowicz, 1997)."""
    size = len(photo)
    flow = _directions(photo, random)
    canvas = cv2.blur(photo, (9, 9))
    for width in np.sort(random.integers(2, 12, 3))[::-1]:
        length, count = width * random.uniform(2, 6), int(min(1500, 3 * size * size / width**2 / 4))
        y, x = random.integers(0, size, (2, count))
        ways = np.stack([np.cos(flow[y, x]), np.sin(flow[y, x])], -1) * length / 2
        tones = photo[y, x] + random.normal(0, random.uniform(2, 25), (count, 1)) + random.normal(0, 4, (count, 3))
        ends = np.stack([x, y], -1)
        for start, end, tone in zip(ends - ways, ends + ways, np.clip(tones, 0, 255).tolist(), strict=True):
            cv2.line(canvas, start.astype(int), end.astype(int), tone, int(width), cv2.LINE_AA)
    return _grain(canvas, random)


def cells(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Lay a mosaic: Voronoi cells, each of one color, with or without joints between them."""
    size, count = len(photo), int(random.integers(60, 900))
    points = random.integers(0, size, (count, 2))
    seeds = np.full((size, size), 255, np.uint8)
    seeds[points[:, 1], points[:, 0]] = 0
    distance, owner = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    tones = np.zeros((owner.max() + 1, 3))
    tones[owner[points[:, 1], points[:, 0]]] = photo[points[:, 1], points[:, 0]] + random.normal(0, 12, (count, 3))
    canvas: np.ndarray = to_bytes(tones)[owner]
    if random.random() < 0.6:
        edges = cv2.morphologyEx(owner.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
        canvas[edges] = random.choice([0, 20, 235])
    elif random.random() < 0.5:
        canvas = to_bytes(canvas * (1.1 - 0.4 * (distance / (distance.max() + 1))[..., None]))
    return canvas


def dots(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Set dots of color side by side, like a pointillist."""
    size, radius = len(photo), int(random.integers(1, 5))
    count = int(min(4000, 2.5 * size * size / radius**2 / 4))
    x, y = random.integers(0, size, (2, count))
    tones = photo[y, x] + random.normal(0, random.uniform(10, 45), (count, 3))
    canvas = cv2.blur(photo, (15, 15))
    for i, tone in enumerate(np.clip(tones, 0, 255).tolist()):
        cv2.circle(canvas, (int(x[i]), int(y[i])), radius, tone, -1, cv2.LINE_AA)
    return canvas


def planes(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reduce the photo to smooth planes of few shades with outlines, as in a woodcut or poster."""
    step = int(random.integers(30, 90))
    canvas = cv2.medianBlur(photo, int(random.choice([5, 7, 9, 11])))
    canvas = to_bytes(canvas // step * step + step / 2)
    if random.random() < 0.7:
        edges = cv2.Canny(cv2.GaussianBlur(photo, (5, 5), 0), 40, 110)
        edges = cv2.dilate(edges, np.ones((int(random.integers(1, 4)),) * 2))
        canvas[edges > 0] = palette(random)[20]
    return _grain(canvas, random)


def hatching(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw parallel or crossed lines, thicker where the photo is dark, on paper."""
    size = len(photo)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) / 255.0
    y, x = np.mgrid[:size, :size].astype(np.float32)
    ink = np.zeros((size, size))
    bend = 6 * _noise(size, 4, random)
    for angle in random.uniform(0, np.pi) + np.array([0, np.pi / 2.3])[: random.integers(1, 3)]:
        waves = np.sin((x * np.cos(angle) + y * np.sin(angle) + bend) * 2 * np.pi / random.uniform(3, 9))
        ink = np.maximum(ink, np.clip((waves * 0.5 + 0.5 - gray) * 4, 0, 1))
    paper, line = palette(random)[[255, 0]].astype(np.float32)
    tone = photo if random.random() < 0.4 else paper
    return to_bytes(tone * (1 - ink[..., None]) + line * ink[..., None])


def waves(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw bands of color along a bent field, as in marbled paper or wood, regardless of the photo."""
    size = len(photo)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    angle, bend = random.uniform(0, 2 * np.pi), random.uniform(0, 1.5)
    field = (x * np.cos(angle) + y * np.sin(angle)) + bend * _noise(size, random.integers(2, 9), random)
    turns = (field * random.uniform(2, 14)) % 1
    turns = turns if random.random() < 0.5 else np.abs(2 * turns - 1)
    return _grain(palette(random)[(turns * 255).astype(int)], random)


def shapes(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw circles, triangles and bars of flat color over each other."""
    size, colors = len(photo), palette(random)
    canvas = np.broadcast_to(colors[random.integers(256)], photo.shape).copy()
    for _ in range(random.integers(8, 60)):
        tone = colors[random.integers(256)].tolist()
        center, reach = random.integers(0, size, 2), random.uniform(0.02, 0.25) * size
        kind = random.integers(3)
        if kind == 0:
            width = -1 if random.random() < 0.6 else int(random.integers(1, 6))
            cv2.circle(canvas, center.tolist(), int(reach), tone, width, cv2.LINE_AA)
        elif kind == 1:
            corners = center + random.normal(0, reach, (random.integers(3, 5), 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], tone, cv2.LINE_AA)
        else:
            end = center + random.normal(0, 3 * reach, 2)
            cv2.line(canvas, center.tolist(), end.astype(int).tolist(), tone, int(random.integers(1, 9)), cv2.LINE_AA)
    return _grain(canvas, random)


PAINTERS: dict[str, Painter] = {
    "crop": crop, "strokes": strokes, "cells": cells, "dots": dots, "planes": planes, "hatching": hatching,
    "waves": waves, "shapes": shapes,
}  # fmt: skip
SHARES = (0.4, 0.4, *6 * (0.2 / 6,))  # of each; photos and strokes are most like paintings


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Convert values to uint8, clipped to 0..255."""
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _noise(size: int, waves: int | np.integer, random: np.random.Generator) -> np.ndarray:
    """Return smooth noise of so many waves across, (size, size), with a deviation of 1."""
    return cv2.resize(random.normal(0, 1, (waves + 1, waves + 1)), (size, size), interpolation=cv2.INTER_CUBIC)


def _directions(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return angles of strokes, (S, S): across the gradient of the photo, or along a flow."""
    size = len(photo)
    if random.random() < 0.5:
        return np.pi * _noise(size, random.integers(1, 5), random)
    gray = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), 4).astype(np.float32)
    return np.arctan2(cv2.Sobel(gray, cv2.CV_32F, 0, 1), cv2.Sobel(gray, cv2.CV_32F, 1, 0)) + np.pi / 2


def _grain(canvas: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add the roughness of canvas or paper, sometimes."""
    if random.random() < 0.5:
        return canvas
    rough = cv2.GaussianBlur(random.normal(0, 1, canvas.shape[:2]), (0, 0), random.uniform(0.5, 1.5))
    return to_bytes(canvas + random.uniform(3, 20) * (rough / rough.std())[..., None])
