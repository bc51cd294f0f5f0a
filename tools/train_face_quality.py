"""Train `face-quality`, which sees whether an aligned face is upright, natural, whole and clear.

    python tools/train_face_quality.py --data PEOPLE/|FILE.csv|crops.npz --validation crops.npz --output RUN

The faces are taken as they are for good ones; what spoils them is drawn, see `spoiled_faces.py`. A face is degraded
where `face-embedder` does not know it again. A few faces are held out to choose the best network; --validation, of
other people, only measures that one.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from spoiled_faces import SpoiledFaces, changes
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import VisionAppError
from vision_app.faces.checker import CHECKS, TASK, FaceChecker
from vision_app.faces.detector import FaceDetector
from vision_app.faces.embedder import Embedder
from vision_app.faces.model.aligned import ROLL_NUMBERS, QualityNetwork
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import SCAN, Reader
from vision_app.faces.train.export import write_checker
from vision_app.released.find import Model, find
from vision_app.released.write import describe
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import initialize
from vision_app.training.loop import fit
from vision_app.training.runs import check_run_folder
from vision_app.training.sampling import batch_indices, batches_per_epoch

HELD_OUT = 500
LIMITS = (0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5)  # of the probability of each check


@dataclass(eq=False)
class QualityTask:
    """A `training.task.TrainingTask`, except that its images are in 0..255."""

    network: QualityNetwork
    crops: FaceCrops
    changes: np.ndarray
    validation: FaceCrops
    about: dict[str, Any]
    embedder: Embedder
    workers: int = 1

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """Return the number of steps of an epoch."""
        return batches_per_epoch(len(self.crops), config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield views of spoiled faces, (B V, 3, 112, 112) in 0..255, and (B V, 9) what is wrong with them."""
        indices = batch_indices(len(self.crops), config, epoch, rank=rank, world=world, start=start)
        faces = SpoiledFaces(self.crops, self.changes, config.seed, epoch)
        for pixels, targets in DataLoader(
            faces, batch_sampler=indices, num_workers=self.workers, worker_init_fn=end_with_parent
        ):
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
        measured = measure(FaceChecker.load(folder.resolve()), self.validation, self.embedder)
        describe(folder, measured=measured)
        return measured


def measure(checker: FaceChecker, crops: FaceCrops, embedder: Embedder) -> dict[str, float]:
    """Return the mean share of damage that is found, and for each check its hits and false alarms."""
    spoiled_faces = SpoiledFaces(crops, changes(crops, 0, embedder), 0, 0)
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


def start_from(network: QualityNetwork, model: Model) -> None:
    """Take over the weights of a model; of the last layer, those of the checks that it makes.

    Raises:
        ModelError: See `Model.file`.
    """
    weights = load_file(model.file("weights.safetensors"))
    rows = [*range(ROLL_NUMBERS), *(ROLL_NUMBERS + CHECKS.index(name) for name in model.classes)]
    for name in ("output.weight", "output.bias"):
        values = network.state_dict()[name].clone()
        values[rows] = weights[name].to(values.dtype)
        weights[name] = values
    network.load_state_dict(weights)


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
        start_from(network, find(initial, TASK))
    about = {"trained": {"faces": len(crops), **asdict(config)}}
    aside = random_numbers("held out", config.seed).permutation(len(crops)) < min(HELD_OUT, len(crops) // 10)
    embedder, learned = Embedder.load(), crops.subset(~aside)
    task = QualityTask(
        network, learned, changes(learned, config.seed, embedder), crops.subset(aside), about, embedder, workers
    )
    measured = fit(task, config, output, inputs={"data": crops.digest()}, resume=resume)
    if validation is not None:
        measured = measure(FaceChecker.load((output / "best").resolve()), FaceCrops.load(validation), embedder)
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
