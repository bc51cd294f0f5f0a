"""Train `face-landmarks`, which finds the landmarks of faces that were aligned by rough ones.

    python tools/train_face_landmarks.py label crops.npz --yunet YUNET.onnx --output points.npz   # about 30 faces/s
    python tools/train_face_landmarks.py train crops.npz points.npz --validation VAL.npz VAL_points.npz --output RUN

The labels are the means of four answers of YuNet: of each face and its mirror image, at two scales. Faces on which
these differ much are left out.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import face_damage as damage
import numpy as np
import photo_damage
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from vision_app.cli.progress import show_progress
from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import DataError, VisionAppError
from vision_app.core.files import atomic_write
from vision_app.core.images import RGBImage
from vision_app.faces.align import MARGIN, SIDE, TEMPLATE
from vision_app.faces.landmarker import FaceLandmarker
from vision_app.faces.model.aligned import LandmarkNetwork
from vision_app.faces.train.augment import compressed, gray, lit
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.export import write_landmarker
from vision_app.released.write import describe
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import initialize
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

PASSES = (192, 0.1), (288, 0.3)  # YuNet's input in pixels, and what is added around a face, in shares of it
NEAR = 8.0  # mean distance from where landmarks are expected, of a face that counts, in pixels
CONFIDENCE = 0.3  # of YuNet
AGREED = 3.0  # pixels by which the answers may deviate for a label
FLIP = [1, 0, 2, 4, 3]  # places of the landmarks in a mirror image
EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])  # pixels between the eyes of an aligned face
VIEWS = 2  # of each face in an epoch
COVERED, CUT = 0.2, 0.15  # shares of the faces that something is drawn on, and that are cut off as by a photo's border
SMALLEST = 14  # side in pixels of an aligned face at the lowest resolution


class Rough(NamedTuple):
    """How far rough landmarks are off: the share of the views, and the deviations."""

    share: float
    roll: float  # degrees
    scale: float  # its logarithm
    shift: float  # pixels of an aligned face


ROUGH = (Rough(0.4, 3, 0.04, 2), Rough(0.4, 8, 0.1, 5), Rough(0.2, 18, 0.17, 9))


def yunet_points(yunet: Any, crop: np.ndarray, side: int, share: float) -> np.ndarray | None:
    """Return the landmarks (5, 2) in pixels of a crop that YuNet finds in the middle, or None."""
    frame = round(share * SIDE)
    large = cv2.copyMakeBorder(crop, *(frame,) * 4, cv2.BORDER_REPLICATE)
    how = cv2.INTER_AREA if side < len(large) else cv2.INTER_LINEAR
    yunet.setInputSize((side, side))
    _, found = yunet.detect(np.ascontiguousarray(cv2.resize(large, (side, side), interpolation=how)[..., ::-1]))
    if found is None:
        return None
    points = found[:, 4:14].reshape(-1, 5, 2) * (len(large) / side) - frame
    away = np.abs(points - damage.POINTS).mean(axis=(1, 2))
    return np.asarray(points[away.argmin()]) if away.min() < NEAR else None


def labeled(yunet: Any, crop: np.ndarray) -> tuple[np.ndarray, float]:
    """Return (5, 2) the mean of what YuNet finds, NaN without a face, and the deviation of its answers in pixels."""
    answers = []
    for side, share in PASSES:
        plain = yunet_points(yunet, crop, side, share)
        mirrored = yunet_points(yunet, np.ascontiguousarray(crop[:, ::-1]), side, share)
        answers += [] if plain is None else [plain]
        answers += [] if mirrored is None else [flipped(mirrored)]
    if len(answers) < 2:
        return np.full((5, 2), np.nan, np.float32), np.nan
    return np.float32(np.mean(answers, axis=0)), float(np.std(answers, axis=0).mean())


def flipped(points: np.ndarray) -> np.ndarray:
    """Return landmarks (5, 2) of a crop in its mirror image."""
    return np.asarray(np.column_stack([SIDE - points[:, 0], points[:, 1]])[FLIP])


def label(crops: FaceCrops, model: Path, output: Path) -> None:
    """Write `points` (N, 5, 2) and `spread` (N,) of YuNet's answers, see `labeled`."""
    yunet = cv2.FaceDetectorYN.create(str(model), "", (SIDE, SIDE), CONFIDENCE, 0.3, 50)
    rows = []
    with show_progress(len(crops), 0) as report:
        for crop in crops.pixels:
            rows.append(labeled(yunet, crop))
            report([{"status": "ok"}])
    points, spread = zip(*rows, strict=True)
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        np.savez(file, points=np.stack(points), spread=np.float32(spread))


@dataclass(frozen=True, eq=False)
class LabeledFaces:
    """Faces with landmarks, (N, 5, 2) in pixels of their crops."""

    crops: FaceCrops
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.crops)

    def digest(self) -> str:
        """Return digits that change with any pixel, name or landmark."""
        return f"{self.crops.digest()} {hashlib.blake2b(self.points.tobytes(), digest_size=6).hexdigest()}"

    @classmethod
    def load(cls, crops: Path, points: Path) -> "LabeledFaces":
        """Read the faces whose labels are sure.

        Raises:
            DataError: The two files do not belong together.
        """
        faces = FaceCrops.load(crops)
        with np.load(points, allow_pickle=False) as content:
            places, spread = content["points"], content["spread"]
        if len(places) != len(faces):
            raise DataError(f"{points}: has {len(places):,} faces; {crops} has {len(faces):,}")
        sure = spread < AGREED  # not where it is NaN
        return cls(faces.subset(sure), places[sure])


def rough(by: Rough, random: np.random.Generator) -> np.ndarray:
    """Return (2, 3) how a face lies when it was aligned by rough landmarks."""
    shift = random.normal(0, by.shift, 2)
    return damage.similarity_matrix(random.normal(0, by.roll), float(np.exp(random.normal(0, by.scale))), shift)


def view(crop: np.ndarray, points: np.ndarray, other: np.ndarray, random: np.random.Generator) -> tuple[
    np.ndarray, np.ndarray
]:  # fmt: skip
    """Return a face as rough landmarks align it, (112, 112, 3) uint8, and where its landmarks are in it (5, 2)."""
    if random.random() < 0.5:
        crop, points = np.ascontiguousarray(crop[:, ::-1]), flipped(points)
    if random.random() < COVERED:
        draw = (damage.mask, damage.glasses, damage.hand, damage.blob)[random.integers(4)]
        crop = damage.covered(crop, *draw(crop, other, random))
    if random.random() < CUT:
        crop = photo_damage.cut_off(crop, other, random)[0]
    matrix = rough(ROUGH[random.choice(len(ROUGH), p=[one.share for one in ROUGH])], random)
    points = (points - MARGIN) @ matrix[:, :2].T + matrix[:, 2]
    face = damage.warped(crop, matrix, random)
    chance = random.random(6)
    if chance[0] < 0.5:
        face = lit(face, random)
    if chance[1] < 0.35:
        face = gray(face)
    if chance[2] < 0.4:
        side = int(np.exp(random.uniform(np.log(SMALLEST), np.log(len(face)))))
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, face.shape[:2], interpolation=cv2.INTER_LINEAR)
    if chance[3] < 0.15:
        is_shaken = random.random() < 0.5
        face = (
            photo_damage.shaken(face, random) if is_shaken else cv2.GaussianBlur(face, (0, 0), random.uniform(0.5, 3))
        )
    if chance[4] < 0.1:
        face = photo_damage.noisy(face, random)
    if chance[5] < 0.2:
        face = compressed(face, random)
    return face, points


class RoughFaces(Dataset[tuple[Tensor, Tensor]]):
    """The faces of one epoch: (V, 3, 112, 112) uint8 views of each, and (V, 10) what the network should say."""

    def __init__(self, faces: LabeledFaces, seed: int, epoch: int):
        self.faces, self.seed, self.epoch = faces, seed, epoch

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = random_numbers("face landmarks", self.seed, self.epoch, index)
        crops, points = self.faces.crops.pixels, self.faces.points[index]
        other = crops[random.integers(len(crops))]
        chips, places = zip(*(view(crops[index], points, other, random) for _ in range(VIEWS)), strict=True)
        away = (np.stack(places) - TEMPLATE) / EYES
        return torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2), torch.from_numpy(np.float32(away)).flatten(1)


@dataclass(eq=False)
class LandmarkTask:
    """A `training.task.TrainingTask`, except that its images are in 0..255."""

    network: LandmarkNetwork
    faces: LabeledFaces
    validation: LabeledFaces
    about: dict[str, Any]
    workers: int = 1

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return the number of steps of an epoch."""
        return batches_per_epoch(len(self.faces), config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield views of faces, (B V, 3, 112, 112) in 0..255, and (B V, 10) where their landmarks are."""
        indices = batch_indices(len(self.faces), config, epoch, rank=rank, world=world, start=start)
        how = {"num_workers": self.workers, "worker_init_fn": end_with_parent}
        for pixels, targets in DataLoader(RoughFaces(self.faces, config.seed, epoch), batch_sampler=indices, **how):
            yield pixels.flatten(0, 1).float(), targets.flatten(0, 1)

    def loss(self, images: Tensor, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the sum of losses and the number of faces: the absolute error, less steep below 2 %."""
        away = F.smooth_l1_loss(output.float(), targets, reduction="sum", beta=0.02)
        return away, torch.tensor(float(len(images)), device=output.device), {"away": away.detach()}

    def release(self, network: LandmarkNetwork, folder: Path) -> dict[str, float]:
        """Write a model folder and measure what was written."""
        write_landmarker(network, folder, name=folder.parent.name, **self.about)
        measured = measure(FaceLandmarker.load(folder.resolve()), self.validation)
        describe(folder, measured=measured)
        return measured


def measure(landmarker: FaceLandmarker, faces: LabeledFaces) -> dict[str, float]:
    """Return how far landmarks are off on average, in distances between the eyes, and 1 - that as "accuracy".

    Rough landmarks are places of a mean face, moved as in training by the middle one of `ROUGH`.
    """
    errors = []
    for i, (crop, truth) in enumerate(zip(faces.crops.pixels, faces.points, strict=True)):
        matrix = rough(ROUGH[1], random_numbers("rough", i))
        start = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        before = TEMPLATE @ start[:, :2].T + start[:, 2] + MARGIN
        after = landmarker.refined(RGBImage(crop, SIDE, SIDE), np.float32(before)[None])[0]
        errors.append([np.linalg.norm(points - truth, axis=1).mean() / EYES for points in (before, after)])
    before, after = np.mean(errors, axis=0).round(4).tolist()
    return {"accuracy": 1 - after, "error": after, "error before": before}


def train(
    data: LabeledFaces,
    validation: LabeledFaces,
    output: Path,
    config: TrainConfig,
    *,
    workers: int = 1,
    resume: bool = False,
) -> dict[str, float]:
    """Train the network; the run's folder is as `training.loop.fit` leaves it."""
    check_run_folder(output, resume)
    torch.manual_seed(config.seed)
    network = LandmarkNetwork()
    initialize(network, "he")
    torch.nn.init.zeros_(network.output.weight)  # it says "as aligned" first; large answers would stop it from learning
    about = {"trained": {"faces": len(data), **asdict(config)}}
    task = LandmarkTask(network, data, validation, about, workers)
    return fit(task, config, output, inputs={"data": data.digest()}, resume=resume)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("label", help="find the landmarks of aligned faces with YuNet")
    one.add_argument("crops", type=Path, metavar="crops.npz")
    one.add_argument("--yunet", type=Path, required=True, metavar="FILE.onnx")
    one.add_argument("--output", type=Path, required=True, metavar="points.npz")
    two = commands.add_parser("train", help="train the network")
    two.add_argument("data", type=Path, nargs=2, metavar=("crops.npz", "points.npz"))
    two.add_argument("--validation", type=Path, nargs=2, required=True, metavar=("crops.npz", "points.npz"))
    two.add_argument("--output", type=Path, required=True, metavar="RUN")
    two.add_argument("--epochs", type=int, default=10)
    two.add_argument("--batch-size", type=int, default=64, help="faces, of which each is seen twice")
    two.add_argument("--learning-rate", type=float, default=2e-3)
    two.add_argument("--workers", type=int, default=1)
    two.add_argument("--resume", action="store_true")
    arguments = parser.parse_args(words)
    try:
        if arguments.command == "label":
            label(FaceCrops.load(arguments.crops), arguments.yunet, arguments.output)
            return
        config = TrainConfig(
            epochs=arguments.epochs, batch_size=arguments.batch_size, learning_rate=arguments.learning_rate,
            ema_decay=0.998, warmup_epochs=0.2, min_lr_ratio=0.01, validate_every=2, weight_decay=0.005,
        )  # fmt: skip
        faces = [LabeledFaces.load(*files) for files in (arguments.data, arguments.validation)]
        print(train(*faces, arguments.output, config, workers=arguments.workers, resume=arguments.resume))
    except VisionAppError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
