"""Draw the sample styles that the package ships, or take a texture from scikit-image.

    python tools/draw_style_samples.py                    # into vision_app/style/samples/
    python tools/draw_style_samples.py --output FOLDER

Every drawing is the same each time, and SIZE pixels a side. They are written as lossless WebP.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from style_drawing import cells, grid, lit, mix, noise, palette, smoothstep, strokes

from vision_app.style.samples.samples import SIZE

FOLDER = Path(__file__).parents[1] / "vision_app" / "style" / "samples"
_FINE = 2 * SIZE  # shapes with hard edges are drawn at twice the size, for smooth ones


def night() -> np.ndarray:
    """Draw a starlit sky over hills, in short curved strokes of blue and yellow."""
    random = np.random.default_rng(1)
    x, y = grid(SIZE)
    angle = 2.5 * noise(random, SIZE, 2, 2) - 1
    glow = np.zeros((SIZE, SIZE), np.float32)
    stars = ((0.8, 0.2, 0.13), (0.32, 0.36, 0.15), (0.1, 0.12, 0.08), (0.52, 0.1, 0.06), (0.62, 0.52, 0.07))
    for cx, cy, radius in stars:
        distance = np.hypot(x - cx, y - cy) / radius
        pull = np.exp(-(distance**2))
        angle = angle * (1 - pull) + (np.arctan2(y - cy, x - cx) + np.pi / 2) * pull
        glow = np.maximum(glow, np.exp(-((1.8 * distance) ** 2)) + 0.3 * np.exp(-((3 * distance - 3.6) ** 2)))
    tone = np.clip(0.55 * noise(random, SIZE, 5, 3) + 0.12 * y + 0.8 * glow, 0, 1)
    colors = palette(tone, ("#0b1440", "#16307c", "#2f62b0", "#7aa7cf", "#e8dfa0", "#f7c531", "#fff3b0"))
    hills = smoothstep(0, 0.01, y - 0.78 + 0.06 * np.sin(7 * x) + 0.1 * x)
    colors = mix(colors, palette(noise(random, SIZE, 8), ("#08182b", "#173c40", "#3f6b4a", "#0f2347")), hills)
    canvas = cv2.GaussianBlur(colors, (0, 0), 6)
    canvas = strokes(canvas, colors, angle, random, count=3000, length=34, width=8)
    return _finished(strokes(canvas, colors, angle, random, count=4500, length=22, width=5, jitter=0.06))


def autumn() -> np.ndarray:
    """Draw thick paint from a palette knife, in the colors of autumn leaves."""
    random = np.random.default_rng(2)
    _, y = grid(SIZE)
    tone = np.clip(noise(random, SIZE, 6, 4) + 0.15 * np.sin(9 * y), 0, 1)
    colors = palette(tone, ("#3a1512", "#8c1c13", "#d1491b", "#f2a11f", "#f7d774", "#8a8b2e", "#2f4a36", "#1d2f4f"))
    angle = np.pi * np.rint(3 * noise(random, SIZE, 4, 2)) / 3 + 0.4
    canvas = strokes(colors, colors, angle, random, count=1200, length=46, width=26, bristles=9, jitter=0.05)
    return _finished(strokes(canvas, colors, angle, random, count=1100, length=34, width=17, bristles=8, jitter=0.08))


def dots() -> np.ndarray:
    """Draw a river at sunset in dots of pure color, complementary ones side by side."""
    random = np.random.default_rng(3)
    x, y = grid(SIZE)
    sky = palette(y / 0.5, ("#5a7fc0", "#9db4d8", "#f2c6a0", "#f59b5b", "#f7d070"))
    water = palette((y - 0.5) / 0.5, ("#f5b060", "#c98aa0", "#6a80b8", "#2f5590", "#1c3a6b"))
    bank = smoothstep(0, 0.01, y - 0.62 - 0.25 * x + 0.03 * np.sin(14 * x)) * smoothstep(0.75, 0.7, x - y * 0.2)
    trees = smoothstep(0.02, 0, np.abs(y - 0.46) - 0.07 * noise(random, SIZE, 10, 3)) * smoothstep(0.2, 0.45, x)
    scene = mix(sky, water, smoothstep(0.49, 0.51, y))
    scene = mix(scene, palette(noise(random, SIZE, 6), ("#1f5b3a", "#5d9440", "#b9c24a")), bank)
    scene = mix(scene, palette(noise(random, SIZE, 9), ("#27426b", "#2f7050", "#6a4a80")), trees)
    canvas = np.full((_FINE, _FINE, 3), 0.93, np.float32)
    places = random.uniform(0, SIZE, (26_000, 2))
    column, row = places.astype(int).T
    tones = scene[row, column] + random.normal(0, 0.09, (len(places), 3))
    opposite = random.random(len(places)) < 0.14
    tones[opposite] = 1.05 - tones[opposite]
    centers, radii = np.int32(2 * places).tolist(), random.integers(4, 9, len(places)).tolist()
    for center, radius, tone in zip(centers, radii, np.clip(tones, 0, 1).tolist(), strict=True):
        cv2.circle(canvas, center, radius, tone, -1)
    return _finished(canvas)


def glass() -> np.ndarray:
    """Draw a stained-glass window: jewel colors between lines of lead."""
    random = np.random.default_rng(4)
    spots = np.stack(np.meshgrid(np.arange(-0.5, 12), np.arange(-0.5, 12)), axis=-1).reshape(-1, 2)
    points = (spots + random.uniform(-0.42, 0.42, spots.shape)) * SIZE / 11
    owner, edge = cells(points, SIZE)
    jewels = ("#b3122b", "#e0541e", "#f5b82e", "#1e8a4c", "#12769e", "#22309a", "#6d2490", "#d8e6ea")
    middle = np.hypot(*(points / SIZE - 0.5).T)
    tone = np.rint(7 * ((2.2 * middle + random.normal(0, 0.16, len(points))) % 1)) / 7
    pane = palette(tone, jewels)[owner]
    shine = 0.75 + 0.5 * noise(random, SIZE, 9, 4) + 0.25 * smoothstep(1, 20, edge)
    lead = smoothstep(3.6, 2.2, edge)
    return _finished(lit(mix(pane * shine[..., None], np.full_like(pane, 0.09), lead), lead, 0.35))


def mosaic() -> np.ndarray:
    """Draw small stones in curved rows: a sun over the sea."""
    random = np.random.default_rng(5)
    rings = []
    for radius in np.arange(0.012, 1.2, 0.026):  # around the sun, stones as long as they are wide
        count = max(3, round(2 * np.pi * radius / 0.026))
        turns = 2 * np.pi * (np.arange(count) + random.random()) / count
        rings.append(radius * np.stack([np.cos(turns), np.sin(turns)], axis=-1))
    points = np.add(np.concatenate(rings), (0.62, 0.36))
    owner, edge = cells(SIZE * (points + random.normal(0, 0.0022, points.shape)), SIZE)
    x, y = points.T
    distance = np.hypot(x - 0.62, y - 0.36)
    sun = palette(distance / 0.18, ("#fdf0b4", "#f8c33a", "#e7791f"))
    sky = palette(np.clip(0.5 + 0.5 * np.sin(26 * distance), 0, 1), ("#f1e2c0", "#e3a86a", "#cf6a45", "#f4dcae"))
    swell = np.clip(0.5 + 0.5 * np.sin(60 * y + 5 * np.sin(9 * x)), 0, 1)
    sea = palette(swell, ("#0e3f5c", "#1d7d8c", "#5fc0b0", "#e8efe0"))
    tone = np.where((distance < 0.18)[:, None], sun, np.where((y > 0.66)[:, None], sea, sky))
    stone = np.clip(tone + random.normal(0, 0.05, tone.shape) + random.normal(0, 0.05, (len(tone), 1)), 0, 1)[owner]
    canvas = mix(stone, np.full_like(stone, (0.36, 0.31, 0.27)), smoothstep(1.7, 0.7, edge))
    return _finished(lit(canvas, smoothstep(0.5, 3.5, edge), 0.12))


def waves() -> np.ndarray:
    """Draw waves behind waves with lines of foam, as from a woodblock in indigo on warm paper."""
    random = np.random.default_rng(6)
    x, y = grid(SIZE)
    canvas = palette(y + 0.1 * noise(random, SIZE, 3), ("#efdcb4", "#f3e6c8", "#e6c79a"))
    paper, night_blue = np.full_like(canvas, (0.97, 0.95, 0.88)), np.full_like(canvas, (0.06, 0.1, 0.2))
    for row in np.linspace(0, 1, 9):  # from the horizon to the front
        swell = (9 - 3 * row) * x + random.uniform(0, 6)
        roll = np.abs(np.sin(swell + 0.25 * np.sin(2 * swell)))  # round troughs and sharp crests
        depth = y - 0.25 - 0.72 * row + (0.05 + 0.09 * row) * (1 - roll) ** 1.5 + 0.008 * np.sin(5 * swell)
        ink = palette(row + 1.2 * depth, ("#a9c6c4", "#6ea3b5", "#3b78a0", "#24568a", "#173a6b", "#102a52"))
        lines = smoothstep(0.3, 0.7, np.sin(90 * np.sqrt(np.maximum(depth, 0)))) * smoothstep(0.2, 0, depth)
        ink = mix(ink, paper, 0.7 * lines)
        ink = mix(ink, paper, smoothstep(0.012, 0.008, depth + 0.006 * np.sin(90 * x)))  # the foam
        ink = mix(ink, night_blue, smoothstep(0.004, 0.001, np.abs(depth)))
        canvas = mix(canvas, ink, smoothstep(-0.002, 0, depth))
    return _finished(canvas * (0.94 + 0.12 * noise(random, SIZE, 160, 2)[..., None]))


def engraving() -> np.ndarray:
    """Draw ink lines that swell with the shade, and cross where it is dark, on cream paper."""
    random = np.random.default_rng(7)
    x, y = grid(_FINE)
    relief = cv2.GaussianBlur(noise(random, _FINE, 4, 3), (0, 0), 12)
    slope_x, slope_y = (cv2.Sobel(relief, cv2.CV_32F, *way, ksize=5) for way in ((1, 0), (0, 1)))
    light = slope_x + slope_y
    shade = np.clip(0.5 + 0.22 * light / light.std(), 0.03, 0.97)
    ink = np.zeros_like(shade)
    for turn, start in ((0.5, 0.0), (-0.6, 0.45), (1.5, 0.72)):
        across = x * np.cos(turn) + y * np.sin(turn) + 0.22 * relief
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * 74 * across)
        wanted = np.clip((shade - start) / (1 - start), 0, 1) * 0.85
        ink = np.maximum(ink, smoothstep(-0.12, 0.12, wave - 1 + wanted))
    paper = palette(noise(random, _FINE, 30), ("#efe3c6", "#f6eed9"))
    return _finished(mix(paper, np.full_like(paper, (0.11, 0.08, 0.08)), ink))


def marble() -> np.ndarray:
    """Draw marbled paper: bands of color drawn out with a comb and swirled."""
    random = np.random.default_rng(8)
    x, y = grid(SIZE)
    x, y = x + 0.05 * (noise(random, SIZE, 3, 3) - 0.5), y + 0.22 * (noise(random, SIZE, 3, 3) - 0.5)
    for cx, cy in random.uniform(0.1, 0.9, (5, 2)):
        dx, dy = x - cx, y - cy
        turn = 2.6 * np.exp(-(np.hypot(dx, dy) ** 2) / 0.012)
        x, y = cx + dx * np.cos(turn) - dy * np.sin(turn), cy + dx * np.sin(turn) + dy * np.cos(turn)
    x, y = cv2.resize(np.dstack([x, y]), (_FINE, _FINE)).transpose(2, 0, 1)
    teeth = np.abs((x * 11) % 2 - 1)
    bands = y * 6 + 0.7 * teeth**1.5 + 0.15 * noise(random, _FINE, 12, 3)
    inks = ("#f4ead6", "#b3263a", "#f4ead6", "#123a5a", "#e0a030", "#f1d9c0", "#1b7f78", "#0f2440", "#d9734e")
    numbers = np.int32(np.floor(5 * bands))
    shade = random.integers(0, len(inks), 100)[numbers % 100] / (len(inks) - 1)
    canvas = palette(shade, inks)
    vein = smoothstep(0.42, 0.48, np.abs((5 * bands) % 1 - 0.5))
    return _finished(mix(canvas, 0.75 * canvas, vein))


def linocut() -> np.ndarray:
    """Draw a labyrinth cut into linoleum and printed in black over orange."""
    random = np.random.default_rng(9)
    field = random.standard_normal((SIZE, SIZE)).astype(np.float32)
    for _ in range(24):  # activator and inhibitor: what is near helps, what is farther hinders
        field = cv2.GaussianBlur(field, (0, 0), 4.2) - cv2.GaussianBlur(field, (0, 0), 7.5)
        field = np.tanh(2 * field / field.std())
    field = cv2.resize(field, (_FINE, _FINE), interpolation=cv2.INTER_CUBIC)
    ink = smoothstep(-0.1, 0.1, field + 0.5 * noise(random, _FINE, 3, 2) - 0.25)
    color = palette(np.rint(3 * noise(random, _FINE, 2, 3)) / 3, ("#f3e4c4", "#f2b134", "#e8622c", "#b7312c"))
    speckle = smoothstep(0.93, 0.97, noise(random, _FINE, 220, 1))
    return _finished(mix(color, np.full_like(color, (0.09, 0.08, 0.1)), ink * (1 - 0.7 * speckle)))


def watercolor() -> np.ndarray:
    """Draw washes of thin color that run into each other, darker where they dried, on rough paper."""
    random = np.random.default_rng(10)
    x, y = grid(SIZE)
    canvas = np.full((SIZE, SIZE, 3), (0.98, 0.97, 0.94), np.float32)
    inks = ("#e58fa0", "#6bb7b8", "#7d7cc0", "#f2b96b", "#4f8fc4", "#9fc27a", "#c86f9e")
    for number in range(22):
        cx, cy = random.uniform(0, 1, 2)
        radius = random.uniform(0.1, 0.24)
        rim = radius - np.hypot(x - cx, y - cy) + 0.22 * (noise(random, SIZE, 4, 5) - 0.5)
        wash = smoothstep(0, 0.012, rim) * (0.35 + 0.3 * noise(random, SIZE, 5, 4) + 0.35 * smoothstep(0.03, 0, rim))
        ink = palette(np.float32(number % len(inks) / (len(inks) - 1)), inks)
        canvas *= 1 - wash[..., None] * (1 - ink)
    paper = noise(random, SIZE, 90, 3)
    return _finished(lit(canvas * (0.96 + 0.06 * paper[..., None]), paper, 0.06))


def facets() -> np.ndarray:
    """Draw planes that break across each other, each shaded from edge to edge, in ochre, slate and rust."""
    random = np.random.default_rng(11)
    x, y = grid(SIZE)
    tone, edges = 0.25 + 0.5 * noise(random, SIZE, 2, 2), np.zeros_like(x)
    for _ in range(30):
        turn = random.choice([0.3, 1.1, 1.9, 2.6]) + random.normal(0, 0.12)
        cx, cy = random.uniform(0.05, 0.95, 2)
        across = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        along = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        plane = smoothstep(0, -0.003, np.abs(along) - random.uniform(0.15, 0.5))
        shade = smoothstep(0, 0.003, across) * np.exp(-np.maximum(across, 0) / random.uniform(0.06, 0.16))
        tone += random.choice([-0.28, 0.28]) * plane * shade
        edges = np.maximum(edges, plane * smoothstep(0.003, 0.001, np.abs(across)))
    canvas = palette(tone, ("#1d1a1c", "#4a3528", "#8a5a34", "#c08a4e", "#d9b98a", "#8f9fa6", "#4d6476", "#e9dcc0"))
    return _finished(lit(mix(canvas, np.full_like(canvas, 0.1), 0.75 * edges), noise(random, SIZE, 120, 2), 0.05))


def gravel() -> np.ndarray:
    """Return small gray stones: a texture that scikit-image ships, under CC0."""
    from skimage import data

    return cv2.cvtColor(data.gravel(), cv2.COLOR_GRAY2RGB)


DRAWINGS: dict[str, Callable[[], np.ndarray]] = {
    drawing.__name__: drawing
    for drawing in (night, autumn, dots, glass, mosaic, waves, engraving, marble, linocut, watercolor, facets, gravel)
}


def _finished(canvas: np.ndarray) -> np.ndarray:
    """Return a canvas as an image of SIZE pixels a side, (SIZE, SIZE, 3) uint8."""
    small = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.rint(255 * np.clip(small, 0, 1)).astype(np.uint8)


def main() -> None:
    """Draw all samples into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: in the package")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        Image.fromarray(draw()).save(folder / f"{name}.webp", lossless=True, quality=100, method=6)


if __name__ == "__main__":
    main()
