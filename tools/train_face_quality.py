"""Train `face-quality`, which sees whether an aligned face is upright, natural and not covered.

    python tools/train_face_quality.py --data PEOPLE/|FILE.csv|crops.npz --validation crops.npz --output RUN

The faces are taken as they are for good ones; what spoils them is drawn, see `face_damage.py`. A few of them
are held out to choose the best network; --validation, of other people, only measures that one.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import face_damage as damage
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from vision_app.core.errors import VisionAppError
from vision_app.faces.checker import CHECKS, TASK, FaceChecker
from vision_app.faces.detector import FaceDetector
from vision_app.faces.model.quality import ROLL_NUMBERS, QualityNetwork
from vision_app.faces.train.augment import compressed, gray, lit, low_resolution
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import SCAN, Reader
from vision_app.faces.train.export import write_checker
from vision_app.released.find import find
from vision_app.released.runtime import load_weights
from vision_app.released.write import describe
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import initialize
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

# Good up to the first, bad from the second, unknown between:
ALIGNMENT = 0.16, 0.28  # distance that the landmarks are off by, in distances between the eyes
STRETCH = 1.22, 1.55  # ratio
COVER = 0.25, 0.7  # hidden share of the mouth or the eyes
PLACE = 0.5  # misalignment up to which what covers a face is where it can be learned
ROLLS = 60.0  # degrees of roll that are learned
DRAWINGS = ((damage.mask, 0.18), (damage.glasses, 0.24), (damage.hand, 0.05), (damage.blob, 0.1))  # and how often
HELD_OUT = 500
LIMITS = (0.5, 0.4, 0.5, 0.5, 0.5)  # of the probability of each check
VIEWS = 4  # of each face, which is drawn on once


def label(value: float, limits: tuple[float, float]) -> float:
    """Return 0 up to the first limit, 1 from the second one on, NaN (not to be learned) between."""
    return 0.0 if value <= limits[0] else 1.0 if value >= limits[1] else np.nan


@dataclass(frozen=True, eq=False)
class Spoiled:
    """A face with what was drawn on it.

    Attributes:
        crop: (160, 160, 3) uint8, aligned with its margin.
        tone: Whether its tones are unnatural.
        mouth, eyes: Share of them that is hidden.
    """

    crop: np.ndarray
    tone: bool
    mouth: float
    eyes: float


def spoiled(crop: np.ndarray, other: np.ndarray, random: np.random.Generator) -> Spoiled:
    """Return a face that may be covered, mirrored, or of another tone; `other` is a face to make textures of."""
    if random.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    alpha = np.zeros(crop.shape[:2], np.float32)
    for draw, share in DRAWINGS:
        if random.random() < share:
            texture, field = draw(crop, other, random)
            crop, alpha = damage.covered(crop, texture, field), np.maximum(alpha, field)
    if tone := random.random() < 0.12:
        crop = damage.unnatural_tone(crop, random)
    mouth, eyes = (
        damage.hidden(alpha, damage.MOUTH.mean(axis=0)[None], (19, 9)),
        damage.hidden(alpha, damage.EYES, (9, 5)),
    )
    return Spoiled(crop, tone, mouth, eyes)


def view(face: Spoiled, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a face as it might come from a photo, aligned well or badly, and what is wrong with it.

    Returns:
        (112, 112, 3) uint8, and (7,) float32: cosine and sine of the roll, then a value for each of `CHECKS`; NaN where
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
    full = np.vstack([matrix, [0, 0, 1]]) @ np.vstack([around, [0, 0, 1]])
    pixels = damage.warped(face.crop, full[:2], random)
    chance = random.random(5)
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
    wrong = damage.misalignment(matrix)
    turn = np.radians(roll) if abs(roll) < ROLLS and wrong < 2 * PLACE else np.nan
    shape = label(ratio, STRETCH) if wrong < 2 * PLACE else np.nan
    covers = [label(share, COVER) if wrong < PLACE else np.nan for share in (face.mouth, face.eyes)]
    values = [np.cos(turn), np.sin(turn), label(wrong, ALIGNMENT), shape, float(face.tone), *covers]
    return pixels, np.array(values, np.float32)


class SpoiledFaces(Dataset[tuple[Tensor, Tensor]]):
    """The faces of one epoch, (V, 3, 112, 112) uint8 views of each, with what is wrong with them, (V, 7)."""

    def __init__(self, crops: FaceCrops, seed: int, epoch: int):
        self.crops, self.seed, self.epoch = crops, seed, epoch

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = random_numbers("face quality", self.seed, self.epoch, index)
        face = spoiled(self.crops.pixels[index], self.crops.pixels[random.integers(len(self.crops))], random)
        pixels, values = zip(*(view(face, random) for _ in range(VIEWS)), strict=True)
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(values))


@dataclass(eq=False)
class QualityTask:
    """A `training.task.TrainingTask`, except that its images are in 0..255."""

    network: QualityNetwork
    crops: FaceCrops
    validation: FaceCrops
    about: dict[str, Any]
    workers: int = 1

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return the number of steps of an epoch."""
        return batches_per_epoch(len(self.crops), config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield views of spoiled faces, (B V, 3, 112, 112) in 0..255, and (B V, 7) what is wrong with them."""
        indices = batch_indices(len(self.crops), config, epoch, rank=rank, world=world, start=start)
        faces = SpoiledFaces(self.crops, config.seed, epoch)
        for pixels, targets in DataLoader(faces, batch_sampler=indices, num_workers=self.workers):
            yield pixels.flatten(0, 1).float(), targets.flatten(0, 1)

    def loss(self, images: Tensor, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of losses, the number of faces, and the parts of the loss."""
        output, known = output.float(), ~targets.isnan()
        turned, checked = known[:, :ROLL_NUMBERS], known[:, ROLL_NUMBERS:]
        roll = F.mse_loss(output[:, :ROLL_NUMBERS][turned], targets[:, :ROLL_NUMBERS][turned], reduction="sum")
        wanted = targets[:, ROLL_NUMBERS:][checked]
        checks = F.binary_cross_entropy_with_logits(output[:, ROLL_NUMBERS:][checked], wanted, reduction="sum")
        faces = torch.tensor(float(len(images)), device=output.device)
        return 2 * roll + checks, faces, {"roll": 2 * roll.detach(), "checks": checks.detach()}

    def release(self, network: QualityNetwork, folder: Path) -> dict[str, float]:
        """Write a model folder and measure what was written."""
        write_checker(network, folder, name=folder.parent.name, limits=LIMITS, **self.about)
        measured = measure(FaceChecker.load(folder.resolve()), self.validation)
        describe(folder, measured=measured)
        return measured


def measure(checker: FaceChecker, crops: FaceCrops) -> dict[str, float]:
    """Return the mean share of damage that is found, and for each check its hits and false alarms."""
    spoiled_faces = SpoiledFaces(crops, 0, 0)
    pixels, values = zip(*(spoiled_faces[i] for i in range(len(crops))), strict=True)
    targets = torch.cat(values).numpy()[:, ROLL_NUMBERS:]
    found = checker.check(torch.cat(pixels).permute(0, 2, 3, 1).contiguous().numpy())
    clean = checker.check(crops.chips)
    figures = {}
    for i, name in enumerate(CHECKS):
        if (spoiled_so := targets[:, i] == 1).any():
            figures[f"{name} found"] = float(found.bad[spoiled_so, i].mean())
        figures[f"{name} on good faces"] = float(clean.bad[:, i].mean())
    figures["any on good faces"] = float(clean.bad.any(axis=1).mean())
    hits = float(np.mean([value for name, value in figures.items() if name.endswith("found")]))
    return {name: round(value, 4) for name, value in {"damage found": hits, **figures}.items()}


def train(
    data: Sequence[Path],
    output: Path,
    config: TrainConfig,
    *,
    validation: Path | None = None,
    initial: Path | None = None,
    workers: int = 1,
    resume: bool = False,
) -> dict[str, float]:
    """Train the network; the run's folder is as `training.loop.fit` leaves it."""
    check_run_folder(output, resume, SCAN)
    output.mkdir(parents=True, exist_ok=True)
    crops = Reader(output, resume, FaceDetector.load, print).train(data)
    torch.manual_seed(config.seed)
    network = QualityNetwork(len(CHECKS))
    initialize(network, "he")
    if initial is not None:
        load_weights(network, find(initial, TASK).file("weights.safetensors"))
    about = {"trained": {"faces": len(crops), **asdict(config)}}
    aside = random_numbers("held out", config.seed).permutation(len(crops)) < min(HELD_OUT, len(crops) // 10)
    task = QualityTask(network, crops.subset(~aside), crops.subset(aside), about, workers)
    measured = fit(task, config, output, inputs={"data": crops.digest()}, resume=resume)
    if validation is not None:
        measured = measure(FaceChecker.load((output / "best").resolve()), FaceCrops.load(validation))
        describe(output / "best", measured=measured)
    return measured


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="what `train faces` takes")
    parser.add_argument("--validation", type=Path, metavar="crops.npz", help="faces of other people, to measure on")
    parser.add_argument("--initial", type=Path, metavar="MODEL", help="to start from")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args(words)
    config = TrainConfig(
        epochs=arguments.epochs, batch_size=arguments.batch_size, learning_rate=arguments.learning_rate,
        ema_decay=0.995, warmup_epochs=0.3, min_lr_ratio=0.01, validate_every=10, weight_decay=0.02,
    )  # fmt: skip
    try:
        print(train(
            arguments.data, arguments.output, config, validation=arguments.validation, initial=arguments.initial,
            workers=arguments.workers, resume=arguments.resume,
        ))  # fmt: skip
    except VisionAppError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
