"""Faces to train `face-quality` on: what is drawn on them, and what is wrong with them then.

A face may be covered, cut off, of unnatural tones, badly aligned or stretched, or from a photo that was spoiled, see
`face_damage.py` and `photo_damage.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import face_damage as damage
import numpy as np
import photo_damage
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vision_app.faces.align import TEMPLATE, chip_of, similarity
from vision_app.faces.embedder import Embedder
from vision_app.faces.train.augment import compressed, gray, lit, low_resolution
from vision_app.faces.train.crops import FaceCrops
from vision_app.training.augment import random_numbers

# Good up to the first, bad from the second, unknown between:
ALIGNMENT = 0.16, 0.28  # distance that the landmarks are off by, in distances between the eyes
STRETCH = 1.22, 1.55  # ratio
COVER = 0.25, 0.7  # hidden share of the mouth or the eyes
HALF = 0.1, 0.27  # hidden share of the face
CHANGE = 0.07, 0.13  # 1 - cosine of the embeddings before and after the photo was degraded
PLACE = 0.5  # misalignment up to which what covers a face is where it can be learned
ROLLS = 60.0  # degrees of roll that are learned
DRAWINGS = ((damage.mask, 0.18), (damage.glasses, 0.24), (damage.hand, 0.05), (damage.blob, 0.1))  # and how often
CUT = 0.25  # share of the faces that are cut off
CHUNK = 256  # faces that are embedded at a time
VIEWS = 4  # of each face, which is drawn on once; the last one shows it degraded instead


def label(value: float, limits: tuple[float, float]) -> float:
    """Return 0 up to the first limit, 1 from the second one on, NaN (not to be learned) between."""
    return 0.0 if value <= limits[0] else 1.0 if value >= limits[1] else np.nan


@dataclass(frozen=True, eq=False)
class Spoiled:
    """A face with what was drawn on it.

    Attributes:
        crop: (160, 160, 3) uint8, aligned with its margin.
        tone: Whether its tones are unnatural.
        mouth, eyes, face: Share of them that is hidden; NaN where it does not matter.
        change: Of its embedding by damage to the photo.
        points: (5, 2) where its landmarks would be found.
    """

    crop: np.ndarray
    tone: bool
    mouth: float
    eyes: float
    face: float = 0.0
    change: float = 0.0
    points: np.ndarray = field(default_factory=damage.POINTS.copy)


def spoiled(crop: np.ndarray, other: np.ndarray, random: np.random.Generator) -> Spoiled:
    """Return a face that may be covered, mirrored, or of another tone; `other` is a face to make textures of."""
    if random.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    alpha = np.zeros(crop.shape[:2], np.float32)
    for draw, share in DRAWINGS:
        if random.random() < share:
            texture, part = draw(crop, other, random)
            crop, alpha = damage.covered(crop, texture, part), np.maximum(alpha, part)
    if tone := random.random() < 0.12:
        crop = damage.unnatural_tone(crop, random)
    mouth, eyes = (
        damage.hidden(alpha, damage.MOUTH.mean(axis=0)[None], (19, 9)),
        damage.hidden(alpha, damage.EYES, (9, 5)),
    )
    if random.random() < CUT:  # what covers the mouth is no mask then
        crop, share, points = photo_damage.cut_off(crop, other, random)
        lost = np.nan if share > HALF[0] else 0
        return Spoiled(crop, tone, mouth + lost, eyes + lost, share, points=points)
    share = damage.hidden(alpha, photo_damage.CENTER[None], tuple(photo_damage.AXES.astype(int)))
    return Spoiled(crop, tone, mouth, eyes, np.nan if share > HALF[0] else 0.0)


def view(face: Spoiled, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a face as it might come from a photo, aligned well or badly, and what is wrong with it.

    Returns:
        (112, 112, 3) uint8, and (9,) float32: cosine and sine of the roll, then a value for each of `CHECKS`; NaN where
        it is neither.
    """
    ratio = float(np.exp(random.uniform(0, np.log(2.4)))) if random.random() < 0.25 else 1.0
    roll, scale, shift = random.normal(0, 3.5), random.normal(0, 0.05), random.normal(0, 2.2, 2)
    kind = random.random()
    if kind < 0.22:
        roll, scale, shift = random.normal(0, 25), random.normal(0, 0.15), random.normal(0, 6, 2)
    elif kind < 0.38:
        roll, scale, shift = random.uniform(-180, 180), random.normal(0, 0.2), random.normal(0, 7, 2)
    elif kind < 0.45:  # anything but a face
        roll, scale, shift = random.uniform(-180, 180), random.uniform(-1, 1), random.uniform(-60, 60, 2)
    matrix = damage.similarity_matrix(roll, float(np.exp(scale)), shift)
    stretched = damage.stretch(ratio, random.choice([0.0, 90.0]) if random.random() < 0.8 else random.uniform(0, 180))
    around = np.column_stack([stretched, damage.CENTER - stretched @ damage.CENTER])
    template = np.float64(TEMPLATE)
    aligned = similarity(face.points, template + damage.MARGIN)  # the identity unless it is cut off
    aligned[:, 2] += aligned[:, :2] @ np.full(2, damage.MARGIN) - damage.MARGIN  # from and to pixels without margin
    full = [np.vstack([part, [0, 0, 1]]) for part in (matrix, around, aligned)]
    pixels = damage.warped(face.crop, (full[0] @ full[1] @ full[2])[:2], random)
    chance = random.random(5)
    if face.change > 0:
        chance[2:] = 1  # or the damage would be smoothed
    if chance[0] < 0.6 and not face.tone:
        pixels = lit(pixels, random)
    if chance[1] < 0.35 and not face.tone:
        pixels = gray(pixels)
    if chance[2] < 0.3:
        pixels = low_resolution(pixels, random)
    if chance[3] < 0.12:
        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.5, 2))
    if chance[4] < 0.15:
        pixels = compressed(pixels, random)
    wrong = damage.misalignment((full[0] @ full[2])[:2])
    turn = np.radians(roll) if abs(roll) < ROLLS and wrong < 2 * PLACE else np.nan
    shape = label(ratio, STRETCH) if wrong < 2 * PLACE else np.nan
    covers = [label(share, COVER) if wrong < PLACE else np.nan for share in (face.mouth, face.eyes)]
    lost = (chance[2:] < (0.3, 0.12, 0.15)).sum()  # how often it lost detail here
    change = label(face.change, CHANGE) if wrong < 2 * PLACE and lost < 2 and not face.tone else np.nan
    half = label(face.face, HALF) if wrong < 2 * PLACE else np.nan
    values = [np.cos(turn), np.sin(turn), label(wrong, ALIGNMENT), shape, float(face.tone), *covers, change, half]
    return pixels, np.array(values, np.float32)


class SpoiledFaces(Dataset[tuple[Tensor, Tensor]]):
    """The faces of one epoch, (V, 3, 112, 112) uint8 views of each, with what is wrong with them, (V, 9).

    Args:
        crops: The faces.
        changes: Of their embeddings, see `changes`.
        seed: Of all that is drawn.
        epoch: Of a training.
    """

    def __init__(self, crops: FaceCrops, changes: np.ndarray, seed: int, epoch: int):
        self.crops, self.changes, self.seed, self.epoch = crops, changes, seed, epoch

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = random_numbers("face quality", self.seed, self.epoch, index)
        face = spoiled(self.crops.pixels[index], self.crops.pixels[random.integers(len(self.crops))], random)
        worse = Spoiled(degraded(self.crops, self.seed, index), False, 0, 0, change=self.changes[index])
        pixels, values = zip(*(view(part, random) for part in [face] * (VIEWS - 1) + [worse]), strict=True)
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(values))


def degraded(crops: FaceCrops, seed: int, index: int) -> np.ndarray:
    """Return a face as in a photo that was spoiled, (160, 160, 3) uint8; the same one in each epoch."""
    return photo_damage.degraded(crops.pixels[index], random_numbers("degraded", seed, index))


def changes(crops: FaceCrops, seed: int, embedder: Embedder) -> np.ndarray:
    """Return (N,) 1 - cosine of the embeddings of each face as it is and as it is `degraded`; above 0."""

    def embedded(pixels: Iterator[np.ndarray]) -> np.ndarray:
        return embedder.embed(np.stack([chip_of(crop, TEMPLATE, embedder.template) for crop in pixels]))

    parts = []
    for start in range(0, len(crops), CHUNK):
        places = range(start, min(start + CHUNK, len(crops)))
        before, after = embedded(crops.pixels[i] for i in places), embedded(degraded(crops, seed, i) for i in places)
        parts.append(1 - (before * after).sum(axis=1))
    return np.maximum(np.concatenate(parts), 1e-6)
