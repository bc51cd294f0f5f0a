"""People who are patterns of color: aligned faces for training, and photos with a green face in front of one."""

import cv2
import numpy as np
from image_files import encode
from PIL import Image
from tiny_faces import paint_face

from vision_app.faces.align import SIDE, TEMPLATE
from vision_app.faces.train.crops import FaceCrops


def pattern(person: int, size: int) -> np.ndarray:
    """(size, size, 3) uint8 that nobody else has."""
    coarse = np.random.default_rng(person).integers(70, 170, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def faces(people: int, photos: int, *, unnamed: int = 0, first: int = 0, template=TEMPLATE) -> FaceCrops:
    """So many photos of each person, with noise, and faces without a name."""
    who = [*np.repeat(range(first, first + people), photos), *range(900, 900 + unnamed)]
    noise = np.random.default_rng(first).normal(0, 12, (len(who), SIDE, SIDE, 3))
    pixels = (np.stack([pattern(int(person), SIDE) for person in who]) + noise).clip(0, 255).astype(np.uint8)
    names = np.array([f"p{person}" if person < 900 else "" for person in who])
    return FaceCrops(pixels, names, np.array([f"{i}.png" for i in range(len(who))]), template)


def write_photos(folder, people: int, photos: int):
    """A sub-folder a person with photos on which `tiny_faces.green_detector` finds one face; returns the folder."""
    for person in range(people):
        (folder / f"p{person}").mkdir(parents=True)
        for photo in range(photos):
            image = pattern(person, 120)
            paint_face(image, (40 + photo, 40, 80 + photo, 84))
            (folder / f"p{person}" / f"{photo}.png").write_bytes(encode(Image.fromarray(image), "PNG"))
    return folder
