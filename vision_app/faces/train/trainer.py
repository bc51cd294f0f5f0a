"""What training a face embedder means: its data, its losses, its measure. The loop itself is `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vision_app.core.errors import UsageError
from vision_app.core.images import write_image
from vision_app.faces.embedder import Embedder
from vision_app.faces.model.network import FaceNetwork
from vision_app.faces.train.augment import augmented
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import SCAN, Reader, Validation, has_validation, hold_out
from vision_app.faces.train.export import write_model
from vision_app.faces.train.initial import identity, open_teacher, starting_network, template_of
from vision_app.faces.train.options import LOSSES, FaceOptions
from vision_app.faces.train.samplers import PeopleBatches
from vision_app.faces.train.teacher import teacher_loss, teacher_targets
from vision_app.faces.train.triplets import DISTANCES, MINERS, triplet_loss
from vision_app.released.runtime import Execution
from vision_app.released.write import describe
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import freeze, keep_statistics
from vision_app.training.loop import fit
from vision_app.training.report import Curves, TensorBoard
from vision_app.training.runs import check_run_folder

COLUMNS = 12  # faces side by side in a picture of a batch
TARGETS = "teacher.npz"  # in the folder of a run: what the teacher says


@dataclass(frozen=True)
class FaceTargets:
    """What is true of B faces.

    Attributes:
        labels: (B,) people, `triplets.UNKNOWN` where nobody knows.
        embeddings: (B, D) what the teacher says, D is 0 without one.
    """

    labels: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "FaceTargets":
        return FaceTargets(self.labels[part], self.embeddings[part])


class Views(Dataset):
    """Augmented faces, (3, 112, 112) uint8, by (place in the epoch, index of the face)."""

    def __init__(self, crops: FaceCrops, seed: int, epoch: int):
        self.crops, self.seed, self.epoch = crops, seed, epoch

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        place, index = key
        view = augmented(self.crops.pixels[index], self.crops.template, self.seed, self.epoch, place)
        return torch.from_numpy(view).permute(2, 0, 1)


class FirstFaces:
    """batch-1.png and so on: the first batches as the network gets them, a person's photos one after the other."""

    def on_start(self, folder: Path, task: "FaceTask", config: TrainConfig) -> None:
        self._folder = folder

    def on_batch(self, step: int, images: Tensor, targets: FaceTargets) -> None:
        """Draws rows of 12 faces; what does not fill a row is left out if there is one."""
        columns = min(COLUMNS, len(images))
        tiles = images[: len(images) // columns * columns].cpu().unflatten(0, (-1, columns))  # (R, C, 3, S, S)
        sheet = tiles.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)  # (R S, C S, 3)
        write_image(self._folder / f"batch-{step + 1}.png", sheet.byte().numpy())


class FaceTask:
    """A `training.loop.Task`, but that its images are in 0..255.

    Args:
        network: to train.
        crops: the faces.
        targets: (N, D) what the teacher says of each; D is 0 where it is not asked.
        validations: to measure on; the first decides.
        about: more for model.json.
        workers: processes that augment.
    """

    def __init__(
        self,
        network: FaceNetwork,
        crops: FaceCrops,
        targets: np.ndarray,
        validations: Sequence[Validation] = (),
        options: FaceOptions = FaceOptions(),
        *,
        about: dict | None = None,
        workers: int = 1,
    ):
        self.network, self.crops, self.validations, self.options = network, crops, validations, options
        self.about, self.workers = about or {}, workers
        self.labels, self.targets = torch.from_numpy(crops.labels), torch.from_numpy(targets)
        self.sampler = sampler(crops, options)

    def batches_per_epoch(self, config: TrainConfig) -> int:
        return self.sampler.batches_per_epoch(config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, FaceTargets]]:
        """Augmented batches of an epoch, (B, 3, 112, 112) in 0..255 and their targets; see `training.loop.Task`."""
        keys = self.sampler.batches(config, epoch, rank=rank, world=world, start=start)
        views = Views(self.crops, config.seed, epoch)
        loader = DataLoader(views, batch_sampler=keys, num_workers=self.workers)
        for batch, pixels in zip(keys, loader, strict=True):
            faces = [index for _, index in batch]
            yield pixels.float(), FaceTargets(self.labels[faces], self.targets[faces])

    def loss(self, images: Tensor, output: Tensor, targets: FaceTargets) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The mean losses of a batch times its faces, the number of faces, and the parts of the loss."""
        options, embeddings, parts = self.options, output.float(), {}
        if "teacher" in LOSSES[options.loss]:
            wanted = targets.embeddings.to(output.device)
            parts["teacher"], parts["relations"] = teacher_loss(embeddings, wanted, options.relations)
        if "triplet" in LOSSES[options.loss]:
            distances = DISTANCES[options.distance](embeddings)
            mined = MINERS[options.miner](distances.detach(), targets.labels.to(output.device), options.margin)
            parts["triplet"] = options.triplet_weight * triplet_loss(distances, mined, options.margin)
        faces = torch.tensor(float(len(images)), device=output.device)
        return sum(parts.values()) * faces, faces, {name: part.detach() * faces for name, part in parts.items()}

    def release(self, network: FaceNetwork, folder: Path) -> dict[str, float]:
        """Writes a model folder and measures what was written; accuracy on the first validation set comes first."""
        write_model(network, folder, name=folder.parent.name, template=self.crops.template, **self.about)
        embedder = Embedder.load(folder.resolve())
        measured = {one.name: one.measure(embedder.embed(one.crops.chips)) for one in self.validations}
        describe(folder, measured=measured)
        return {f"{name} {key}": value for name, figures in measured.items() for key, value in figures.items()}


def sampler(crops: FaceCrops, options: FaceOptions) -> PeopleBatches:
    """Batches of people for triplets, or of whatever faces for a teacher alone."""
    people = options.people if "triplet" in LOSSES[options.loss] else 0
    return PeopleBatches(crops.labels, people, options.photos)


def train(
    data: Sequence[Path],
    validation: Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: FaceOptions = FaceOptions(),
    *,
    initial: Path | None = None,
    teacher: Path | None = None,
    detector: Path = Path("face-detector"),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence = (),
) -> dict[str, float]:
    """Trains a face embedder; see `training.loop.fit` for what `output` holds beside the aligned faces (crops.npz),
    what the teacher says of them (teacher.npz) and what is odd about the photos (scan.csv).

    Args:
        data: sets as `data.identities.load_identities` takes them, or .npz files of `crops.FaceCrops`.
        validation: sets, .npz files or lists of pairs, see `datasets.Reader.validation`. By default what the sets keep
            for it in a split "val", or a tenth of the people where there are enough. The first decides which network
            is best.
        initial: what to start from, see `start.starting_network`.
        teacher: what to learn from, see `start.open_teacher`; by default the model that training starts from, so that
            it keeps what it knows.
        detector: a face detector, by its folder or name.
        workers: processes that augment.
        callbacks: more of them, see `training.task.Callback`.

    Raises:
        DataError, ModelError, UsageError: before training starts, with the file or option named.
    """
    check_run_folder(output, resume, SCAN)
    teacher = teacher or initial
    options = replace(options, loss=options.loss or ("both" if teacher else "triplet"))
    taught = "teacher" in LOSSES[options.loss]
    if taught and teacher is None:
        raise UsageError(f"--loss {options.loss}: there is nobody to learn from; --teacher names a model")
    master = open_teacher(teacher, Execution(config.device, "torch").resolved().device) if taught else None
    output.mkdir(parents=True, exist_ok=True)

    def open_detector():
        from vision_app.faces.detector import FaceDetector

        return FaceDetector.load(detector)

    reader = Reader(output, resume, open_detector, log)
    for option, model in (("--initial", initial), ("--teacher", teacher)):
        if model:
            reader.agree(f"{option} {model}", template_of(model))
    crops = reader.train(data)
    validations = [reader.validation(path, i) for i, path in enumerate(validation or filter(has_validation, data), 1)]
    if not validations:
        crops, validations = hold_out(crops, config.seed, log)
    people = len(np.unique(crops.identities[crops.identities != ""]))
    log(f"{len(crops):,} faces to learn from, of {people:,} people with a name")
    sampler(crops, options).check(config)  # before a teacher has looked at everything
    targets = np.zeros((len(crops), 0), np.float32)
    if master:
        targets = teacher_targets(master, crops, output / TARGETS, log)
    torch.manual_seed(config.seed)
    network = starting_network(initial, crops, targets)
    for part in (network.stem, network.norm, *network.blocks[: options.freeze_blocks]) if options.freeze_blocks else ():
        freeze(part)
    if initial:
        keep_statistics(network)
    inputs = {"initial": identity(initial), "teacher": master.identity if master else "none"} | asdict(options)
    trained = {"faces": len(crops), "identities": people, **inputs, **asdict(config)}
    task = FaceTask(network, crops, targets, validations, options, about={"trained": trained}, workers=workers)
    inputs["data"] = f"{', '.join(path.name for path in data)} {crops.digest()}"
    inputs["validation"] = ", ".join(f"{one.name} {one.crops.digest()}" for one in validations)
    shown = TensorBoard(), Curves(), FirstFaces()
    return fit(task, config, output, inputs=inputs, resume=resume, log=log, callbacks=(*shown, *callbacks))
