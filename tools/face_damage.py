"""Draw what spoils a photo of a face: masks, scarves, hands, sunglasses, unnatural tones and shapes, wrong alignment.

What covers a face is drawn as a texture and the share of each pixel that it hides (an alpha field), so that one rule
says what is covered. All functions work on crops of 160 x 160 pixels, faces aligned with a margin, uint8 RGB.
"""

import math

import cv2
import numpy as np

from vision_app.faces.align import MARGIN, SIDE, SIZE, TEMPLATE
from vision_app.faces.train.augment import gray

POINTS = TEMPLATE + np.float32(MARGIN)  # where the landmarks lie in a crop
EYES, MOUTH = POINTS[:2], POINTS[3:]
CENTER = TEMPLATE.mean(axis=0)
COMMON = ((235, 238, 240), (30, 30, 34), (160, 200, 225), (90, 140, 190), (120, 170, 150), (200, 200, 205))
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)
Random = np.random.Generator


def color(random: Random) -> np.ndarray:
    """Return a color as clothes have: often a common one, else any."""
    if random.random() < 0.5:
        return np.float32(np.clip(COMMON[random.integers(len(COMMON))] + random.normal(0, 14, 3), 0, 255))
    return np.float32(random.uniform(0, 255, 3))


def noise(random: Random, cells: float) -> np.ndarray:
    """Return a smooth random field of mean 0 and deviation 1, of about that many hills a side."""
    coarse = random.standard_normal((int(cells) + 2,) * 2, np.float32)
    field = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / (field.std() + 1e-3)


def waves(random: Random, angle: float, width: float) -> np.ndarray:
    """Return stripes, -1 to 1, across an angle in degrees, of that width in pixels, slightly bent."""
    along = X * math.cos(math.radians(angle)) + Y * math.sin(math.radians(angle)) + 2 * noise(random, 3)
    return np.sin(along * np.pi / width + random.uniform(0, 6))


def cloth(random: Random, other: np.ndarray) -> np.ndarray:
    """Return a texture (160, 160, 3) float32: plain, striped, checked, spotted or a part of another photo, lit."""
    kind = random.random()
    base = np.broadcast_to(color(random), (SIDE, SIDE, 3)).astype(np.float32)
    if kind < 0.2:  # a pattern of two colors
        fields = [waves(random, random.uniform(0, 180), random.uniform(3, 15)) for _ in range(random.integers(1, 3))]
        share = np.clip(0.5 + 2 * np.mean(fields, axis=0), 0, 1)[..., None]
        base = base + (color(random) - base) * share
    elif kind < 0.35:  # spots
        share = np.clip(2 * noise(random, random.uniform(6, 40)), 0, 1)[..., None]
        base = base + (color(random) - base) * share
    elif kind < 0.45:
        zoom = random.uniform(1, 3)
        matrix = cv2.getRotationMatrix2D((SIDE / 2,) * 2, random.uniform(0, 360), zoom)
        matrix[:, 2] += random.uniform(-SIDE / 2, SIDE / 2, 2)
        base = cv2.warpAffine(other, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    if random.random() < 0.4:  # pleats and folds
        base = base + random.uniform(4, 22) * waves(random, random.normal(90, 20), random.uniform(5, 14))[..., None]
    return shaded(base, random)


def shaded(texture: np.ndarray, random: Random) -> np.ndarray:
    """Return a texture with light from a side, hollows and grain."""
    angle = random.uniform(0, 2 * math.pi)
    light = 1 + random.uniform(0, 0.7) * (X / SIDE - 0.5) * math.cos(angle)
    light = light + random.uniform(0, 0.7) * (Y / SIDE - 0.5) * math.sin(angle)
    light = light + random.uniform(0, 0.12) * noise(random, random.uniform(2, 8))
    grain = random.uniform(0, 5) * random.standard_normal((SIDE, SIDE, 1), np.float32)
    return np.asarray(texture * light[..., None] + grain)


def filled(outline: np.ndarray, soft: float = 0.6) -> np.ndarray:
    """Return the alpha field of a smooth closed outline (K, 2)."""
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(alpha.astype(np.float32) / 255, (0, 0), soft)


def curve(points: np.ndarray) -> np.ndarray:
    """Return a closed curve (8 K, 2) with rounded corners by cutting them three times (Chaikin, 1974)."""
    for _ in range(3):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1).reshape(-1, 2)
    return points


def mask(crop: np.ndarray, other: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return texture and alpha of a mask or a scarf, from the nose or, sometimes, only from below the mouth."""
    (left, _), (right, _), nose = POINTS[:3]
    mouth = MOUTH.mean(axis=0)
    top = nose[1] + (random.uniform(-18, 6) if random.random() < 0.85 else random.uniform(34, 42))
    wide, bottom = random.uniform(10, 26), mouth[1] + random.uniform(18, 44)
    sides = random.uniform(4, 16)  # how much lower than the middle the upper edge begins
    shift = random.normal(0, 4)
    corners = [
        (left - wide, top + sides), (nose[0] - random.uniform(8, 18), top + 3), (nose[0], top),
        (nose[0] + random.uniform(8, 18), top + 3), (right + wide, top + sides), (right + wide - 3, mouth[1] + 6),
        (mouth[0] + random.uniform(10, 24), bottom), (mouth[0] - random.uniform(10, 24), bottom),
        (left - wide + 3, mouth[1] + 6),
    ]  # fmt: skip
    outline = np.array(corners) + np.array([shift, 0])
    if random.random() < 0.25:  # a scarf or a collar: to the lower edge
        outline[5:] = [(SIDE + 9, top + 20), (SIDE + 9, SIDE + 9), (-9, SIDE + 9), (-9, top + 20)]
    alpha = filled(curve(outline + random.normal(0, 2.5, outline.shape)))
    texture = cloth(random, other)
    if random.random() < 0.5:  # straps
        width, strap = int(random.integers(1, 4)), np.zeros((SIDE, SIDE), np.uint8)
        for x, end in ((left - wide + 6, 0), (right + wide - 6, SIDE)):
            for y in (top + sides + 2, mouth[1] + 4):
                target = (end, round(y + random.uniform(-22, 4)))
                cv2.line(strap, (round(x + shift), round(y)), target, 255, width, cv2.LINE_AA)
        alpha = np.maximum(alpha, strap / np.float32(255))
    if random.random() < 0.5:  # the ridge over the nose, darker towards the edges
        x = np.abs(np.arange(SIDE) - nose[0] - shift) / 60
        texture = texture * (1.08 - random.uniform(0, 0.5) * x**2)[None, :, None]
    return texture, alpha


def hand(crop: np.ndarray, other: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return texture and alpha of fingers of about the face's color, over mouth or eyes."""
    skin = np.median(crop[90:110, 55:105].reshape(-1, 3), axis=0) + random.normal(0, 12, 3)
    x, y = (MOUTH if random.random() < 0.6 else EYES).mean(axis=0) + random.normal(0, 8, 2)
    angle, width = random.uniform(0, 180), random.uniform(9, 15)
    direction, across = (np.array([np.cos(a), np.sin(a)]) for a in np.radians([angle, angle + 90]))
    alpha, edges = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    fingers = int(random.integers(2, 6))
    for place in np.arange(fingers) - (fingers - 1) / 2:
        tip = np.array([x, y]) + across * place * width + direction * random.uniform(20, 38)
        root = np.array([x, y]) + across * place * width - direction * 120
        ends = [tuple(np.round(end).astype(int).tolist()) for end in (root, tip)]
        cv2.line(edges, *ends, 255, round(width) + 2, cv2.LINE_AA)
        cv2.line(edges, *ends, 0, round(width) - 2, cv2.LINE_AA)
        cv2.line(alpha, *ends, 255, round(width), cv2.LINE_AA)
    texture = shaded(np.broadcast_to(skin, (SIDE, SIDE, 3)).astype(np.float32), random)
    texture = texture * (1 - random.uniform(0.15, 0.5) * edges / 255)[..., None]
    return texture, cv2.GaussianBlur(alpha / np.float32(255), (0, 0), 0.7)


def blob(crop: np.ndarray, other: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return texture and alpha of anything in front of the face: a box, a cup, a bar over the eyes, hair."""
    kind = random.random()
    if kind < 0.25:
        y, height = EYES.mean(axis=0)[1] + random.normal(0, 4), random.uniform(9, 20)
        outline = np.array([(-9, y - height), (SIDE + 9, y - height), (SIDE + 9, y + height), (-9, y + height)])
        outline[:, 1] += random.uniform(-0.1, 0.1) * (outline[:, 0] - SIDE / 2)
    else:
        center = random.uniform(MARGIN, SIDE - MARGIN, 2)
        corners = int(random.integers(4, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        radii = random.uniform(0.6, 1.2, (corners, 1)) * random.uniform(8, 42, 2)
        outline = center + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        outline = curve(outline) if random.random() < 0.7 else outline
    return cloth(random, other), filled(outline, random.uniform(0.4, 2))


def glasses(crop: np.ndarray, other: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return texture and alpha of glasses with clear, tinted, dark or mirroring lenses, in frames of many shapes."""
    dark = random.random() < 0.75
    opacity = random.uniform(0.72, 1) if dark else random.uniform(0, 0.3)
    lens = np.broadcast_to(np.float32(random.uniform(0, 70) + random.normal(0, 12, 3)), (SIDE, SIDE, 3))
    if random.random() < 0.25:  # colored, or mirroring what is in front
        lens = cloth(random, other) * random.uniform(0.4, 1) + random.uniform(0, 40)
    lens = lens - random.uniform(-1, 3) * (Y - EYES[0, 1])[..., None]  # lighter or darker below
    width, height, power = random.uniform(12, 21), random.uniform(9, 17), random.uniform(1.6, 5)
    drop, slant, apart = random.uniform(-2, 7), random.uniform(-0.2, 0.2), random.uniform(-2, 3)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    unit = np.sign(unit) * np.abs(unit) ** (2 / power)  # a superellipse: from round to square
    alpha, rims = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.uint8)
    line = int(random.integers(1, 5))
    shift, turn = random.normal(0, 2, 2), random.normal(0, 2)
    outlines = []
    for eye, side in zip(EYES, (-1, 1), strict=True):
        outline = unit * [width, height]
        outline[:, 1] += slant * outline[:, 0] * side + drop
        outline[:, 0] += random.uniform(0, 0.15) * side * -outline[:, 1] + side * apart
        outlines.append(outline + eye + shift)
    if random.random() < 0.12:  # a visor
        outlines = [cv2.convexHull(np.concatenate(outlines).astype(np.float32))[:, 0]]
    for outline in outlines:
        alpha = np.maximum(alpha, opacity * filled(outline))
        cv2.polylines(rims, [np.round(outline * 16).astype(np.int32)], True, 255, line, cv2.LINE_AA, 4)
    middle, height_at = EYES.mean(axis=0) + shift, drop - random.uniform(0, height / 2)
    bridge = [(round(middle[0] + x), round(middle[1] + height_at)) for x in (-17 + width, 17 - width)]
    cv2.line(rims, *bridge, 255, line, cv2.LINE_AA)
    for eye, side in zip(EYES, (-1, 1), strict=True):
        start = eye + shift + [side * width, height_at]
        end = (round(start[0] + side * 30), round(start[1] + random.uniform(-8, 8)))
        cv2.line(rims, (round(start[0]), round(start[1])), end, 255, line, cv2.LINE_AA)
    rim = rims[..., None] / np.float32(255)
    texture = lens + (color(random) * random.uniform(0.1, 1) - lens) * rim
    if random.random() < 0.5:  # a reflection
        glare = np.clip(waves(random, random.uniform(0, 180), random.uniform(15, 60)) - 0.3, 0, 1)
        texture = texture + random.uniform(10, 130) * glare[..., None]
    matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), turn, 1)
    both = np.dstack([texture, np.maximum(alpha, rim[..., 0])]).astype(np.float32)
    both = cv2.warpAffine(both, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return both[..., :3], both[..., 3]


def covered(crop: np.ndarray, texture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a crop behind a texture."""
    texture = texture.astype(np.float32, copy=False)
    return np.clip(crop + (texture - crop) * alpha[..., None], 0, 255).astype(np.uint8)


def hidden(alpha: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> float:
    """Return the mean alpha of the ellipses of half that width and height around some points."""
    region = np.zeros((SIDE, SIDE), np.uint8)
    for x, y in points:
        cv2.ellipse(region, (round(float(x)), round(float(y))), size, 0, 0, 360, 1, cv2.FILLED)
    return float(alpha[region > 0].mean())


def unnatural_tone(crop: np.ndarray, random: Random) -> np.ndarray:
    """Return a crop as a negative, solarized, in few levels, in false colors or as edges."""
    kind = random.random()
    if kind < 0.4:
        return 255 - (gray(crop) if kind < 0.12 else crop)
    if kind < 0.5:  # a negative of the light alone
        lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)
        lab[..., 0] = 255 - lab[..., 0]
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    if kind < 0.58:
        limit = random.uniform(70, 150)
        return np.where(crop > limit, 255 - crop, crop).astype(np.uint8)
    if kind < 0.68:
        levels = int(random.integers(2, 4))
        few = gray(crop) if random.random() < 0.5 else crop
        steps = np.floor(few / np.float32(256) * levels + random.uniform(-0.2, 0.2)).clip(0, levels - 1)
        return (steps * 255 / (levels - 1)).astype(np.uint8)
    if kind < 0.8:
        maps = (cv2.COLORMAP_JET, cv2.COLORMAP_HSV, cv2.COLORMAP_HOT, cv2.COLORMAP_COOL, cv2.COLORMAP_RAINBOW,
                cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_PLASMA, cv2.COLORMAP_TURBO)  # fmt: skip
        colored = cv2.applyColorMap(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), maps[random.integers(len(maps))])
        return np.ascontiguousarray(colored[..., ::-1])
    if kind < 0.95:  # another hue altogether
        hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + random.integers(40, 140)) % 180
        hsv[..., 1] = np.clip(hsv[..., 1].astype(int) + 60, 0, 255)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    edges = cv2.Canny(crop, 60, 140) if random.random() < 0.5 else 4 * cv2.convertScaleAbs(
        cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_16S))  # fmt: skip
    edges = edges if random.random() < 0.5 else 255 - edges
    return edges[..., None].repeat(3, axis=2)


def warped(crop: np.ndarray, matrix: np.ndarray, random: Random) -> np.ndarray:
    """Return (112, 112, 3) what (2, 3) a matrix from the aligned face's pixels shows, with any border around it."""
    matrix = matrix.copy()
    matrix[:, 2] -= matrix[:, :2] @ np.full(2, MARGIN)
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5  # OpenCV counts from the middle of the first pixel
    border = (cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT)[random.integers(3)]
    value = (0, 0, 0) if random.random() < 0.6 else random.uniform(0, 255, 3).tolist()
    return cv2.warpAffine(crop, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=value)


def similarity_matrix(roll: float, scale: float, shift: np.ndarray) -> np.ndarray:
    """Return (2, 3) a turn clockwise by `roll` degrees and a scale around the face's middle, then a shift."""
    cosine, sine = np.cos(np.radians(roll)) * scale, np.sin(np.radians(roll)) * scale
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    matrix[:, 2] = CENTER + shift - matrix[:, :2] @ CENTER
    return matrix


def misalignment(matrix: np.ndarray) -> float:
    """Return the root mean square distance that the landmarks are moved by, in distances between the eyes."""
    moved = TEMPLATE @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE
    return float(np.sqrt((moved**2).sum(axis=1).mean()) / (TEMPLATE[1, 0] - TEMPLATE[0, 0]))


def stretch(ratio: float, angle: float) -> np.ndarray:
    """Return (2, 2) a stretch by `ratio` along an angle in degrees, of the same area."""
    axis = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    along = np.outer(axis, axis)
    return np.asarray(np.sqrt(ratio) * along + (np.eye(2) - along) / np.sqrt(ratio))
