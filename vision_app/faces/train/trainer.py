"""Training of a face embedder: its data, losses and validation. The loop itself is `training.loop`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vision_app.core.child_process import end_with_parent
from vision_app.core.errors import UsageError
from vision_app.core.images import write_image
from vision_app.core.several import several_paths
from vision_app.core.text import amount
from vision_app.detection.train.initial import name_and_digest
from vision_app.faces.detector import FaceDetector
from vision_app.faces.embedder import TASK, Embedder
from vision_app.faces.model.build import MIRROR, AnyFaceNetwork
from vision_app.faces.train.augment import augmented
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.datasets import SCAN, FaceValidation, Reader, has_validation, hold_out
from vision_app.faces.train.export import write_model
from vision_app.faces.train.initial import starting_network
from vision_app.faces.train.options import LOSSES, FaceOptions
from vision_app.faces.train.samplers import PeopleBatches
from vision_app.faces.train.teacher import Teacher, read_targets, teacher_loss, teacher_targets
from vision_app.faces.train.triplets import DISTANCES, MINERS, triplet_loss
from vision_app.released.execution import Execution
from vision_app.released.find import Model, find
from vision_app.released.names import FACE_DETECTOR
from vision_app.released.write import describe
from vision_app.training.config import TrainConfig
from vision_app.training.initialize import freeze, keep_statistics
from vision_app.training.loop import fit
from vision_app.training.report import Curves, TensorBoard
from vision_app.training.runs import check_run_folder

COLUMNS = 12  # faces side by side in an image of a batch
TARGETS = "teacher.npz"  # in the folder of a run: the teacher's answers


@dataclass(frozen=True)
class FaceTargets:
    """The targets of B faces.

    Attributes:
        labels: (B,) people, `triplets.UNKNOWN` where they are unknown.
        embeddings: (B, D) of the teacher, D is 0 without one.
    """

    labels: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "FaceTargets":
        return FaceTargets(self.labels[part], self.embeddings[part])


class AugmentedFaces(Dataset[Tensor]):
    """Augmented faces, (3, 112, 112) uint8, by (place in the epoch, index of the face)."""

    def __init__(self, crops: FaceCrops, seed: int, epoch: int):
        self.crops, self.seed, self.epoch = crops, seed, epoch

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        place, index = key
        face = augmented(self.crops.pixels[index], self.crops.template, self.seed, self.epoch, place)
        return torch.from_numpy(face).permute(2, 0, 1)


class FirstFaces:
    """Draws batch-1.png and so on: the first batches as the network gets them, person by person."""

    def on_batch(self, folder: Path, step: int, images: Tensor, targets: FaceTargets) -> None:
        """Draw rows of 12 faces; what does not fill a row is left out unless it is the only one."""
        columns = min(COLUMNS, len(images))
        rows = torch.unflatten(images[: len(images) // columns * columns].cpu(), 0, (-1, columns))  # (R, C, 3, S, S)
        sheet = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)  # (R S, C S, 3)
        write_image(folder / f"batch-{step + 1}.png", sheet.byte().numpy())


@dataclass(eq=False)
class EmbedderTask:
    """A `training.task.TrainingTask`, except that its images are in 0..255.

    Attributes:
        network: To train.
        crops: The faces.
        targets: (N, D) embeddings of each by the teacher; D is 0 without one.
        validations: To measure on; the first decides.
        options: Of the losses and batches.
        about: More for `export.write_model`.
        workers: Processes that augment.
    """

    network: AnyFaceNetwork
    crops: FaceCrops
    targets: np.ndarray
    validations: Sequence[FaceValidation] = ()
    options: FaceOptions = FaceOptions()
    about: dict[str, Any] = field(default_factory=dict, kw_only=True)
    workers: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        self.losses = LOSSES[self.options.loss or "triplet"]
        self.sampler = sampler(self.crops, self.options)

    def batches_per_epoch(self, config: TrainConfig) -> int:
        """See `samplers.PeopleBatches`."""
        return self.sampler.batches_per_epoch(config)

    def batches(
        self, config: TrainConfig, epoch: int, *, rank: int = 0, world: int = 1, start: int = 0
    ) -> Iterator[tuple[Tensor, FaceTargets]]:
        """Yield augmented batches, (B, 3, 112, 112) in 0..255, and their targets; see `training.task.TrainingTask`."""
        keys = self.sampler.batches(config, epoch, rank=rank, world=world, start=start)
        labels, faces = self.crops.labels, AugmentedFaces(self.crops, config.seed, epoch)
        loader = DataLoader(faces, batch_sampler=keys, num_workers=self.workers, worker_init_fn=end_with_parent)
        for batch, pixels in zip(keys, loader, strict=True):
            chosen = [index for _, index in batch]
            yield pixels.float(), FaceTargets(*(torch.from_numpy(one[chosen]) for one in (labels, self.targets)))

    def loss(self, images: Tensor, output: Tensor, targets: FaceTargets) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the mean losses of a batch times its faces, the number of faces, and the parts of the loss."""
        options, embeddings, parts = self.options, output.float(), {}
        if "teacher" in self.losses:
            wanted = targets.embeddings.to(output.device)
            parts["teacher"], parts["relations"] = teacher_loss(embeddings, wanted, options.relations)
        if "triplet" in self.losses:
            distances = DISTANCES[options.distance](embeddings)
            mined = MINERS[options.miner](distances.detach(), targets.labels.to(output.device), options.margin)
            parts["triplet"] = options.triplet_weight * triplet_loss(distances, mined, options.margin)
        faces = torch.tensor(float(len(images)), device=output.device)
        total = sum(parts.values(), torch.tensor(0.0))
        return total * faces, faces, {name: part.detach() * faces for name, part in parts.items()}

    def release(self, network: AnyFaceNetwork, folder: Path) -> dict[str, float]:
        """Write a model folder and measure what was written; accuracy on the first validation set comes first."""
        write_model(network, folder, name=folder.parent.name, template=self.crops.template, **self.about)
        embedder = Embedder.load(folder.resolve())
        measured = {one.name: one.measure(embedder.embed(one.crops.chips)) for one in self.validations}
        describe(folder, measured=measured)
        return {f"{name} {key}": value for name, figures in measured.items() for key, value in figures.items()}


def sampler(crops: FaceCrops, options: FaceOptions) -> PeopleBatches:
    """Return batches of people for triplets, or of any faces for a teacher alone."""
    people = options.people if "triplet" in LOSSES[options.loss or "triplet"] else 0
    return PeopleBatches(crops.labels, people, options.photos)


def train(
    data: Path | Sequence[Path],
    validation: Path | Sequence[Path],
    output: Path,
    config: TrainConfig,
    options: FaceOptions = FaceOptions(),
    *,
    initial: Path | None = None,
    teacher: Path | None = None,
    detector: Path = Path(FACE_DETECTOR),
    workers: int = 1,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[Any] = (),
) -> dict[str, float]:
    """Train a face embedder.

    Besides what `training.loop.fit` writes, `output` gets the aligned faces (crops.npz), the teacher's answers
    (teacher.npz) and issues of the photos (scan.csv).

    Args:
        data: Sets as `data.identities.load_identities` takes them, or .npz files of `crops.FaceCrops`.
        validation: Sets, .npz files or lists of pairs, see `datasets.Reader.validation`. By default the splits "val" of
            the sets, or a tenth of the people where there are enough. The first decides which network is best.
        output: Folder of the run.
        config: Of the loop.
        options: Of the losses and batches.
        initial: Face embedder to start from, by its folder or name.
        teacher: Face embedder to learn from, or an .npz file of its answers, see `teacher.read_targets`; by default the
            one that training starts from, so that it keeps what it knows.
        detector: Face detector, by its folder or name.
        workers: Processes that augment.
        resume: Whether to continue the run in `output`.
        log: Takes lines of progress.
        callbacks: More of them, see `training.task.Callback`.

    Returns:
        The metrics of the best network.

    Raises:
        DataError, ModelError, UsageError: Before training starts, with the file or option named.
    """
    data, validation = several_paths(data), several_paths(validation)
    check_run_folder(output, resume, SCAN)
    teacher = teacher or initial
    options = replace(options, loss=options.loss or ("both" if teacher else "triplet"))
    taught = "teacher" in LOSSES[options.loss or "both"]
    if taught and teacher is None:
        raise UsageError(f"--loss {options.loss}: needs a teacher; --teacher names a model")
    answers = teacher if teacher and teacher.suffix == ".npz" else None
    models = {"initial": initial, "teacher": None if answers else teacher}
    found = {name: _find(name, path) for name, path in models.items() if path}
    inputs = {"initial": name_and_digest(initial), "teacher": name_and_digest(teacher if taught else None)}
    master = None
    if taught and not answers:
        device = Execution(config.device, "torch").resolved().device
        master = Teacher(starting_network(found["teacher"]).eval().to(device), inputs["teacher"])
    output.mkdir(parents=True, exist_ok=True)
    reader = Reader(output, resume, cache(lambda: FaceDetector.load(detector)), log)
    for name, model in found.items():
        reader.agree(f"--{name} {models[name]}", np.array(model.value("input.template", list), np.float32))
    crops = reader.train(data)
    validations = [reader.validation(path, i) for i, path in enumerate(validation or filter(has_validation, data), 1)]
    if not validations:
        crops, validations = hold_out(crops, config.seed, log)
    people = len(np.unique(crops.identities[crops.identities != ""]))
    log(f"{amount(len(crops), 'face')} to learn from, of {amount(people, 'person', 'people')} with a name")
    sampler(crops, options).check(config)  # before a teacher embeds everything
    targets = np.zeros((len(crops), 0), np.float32)
    if taught and answers:
        targets = read_targets(answers, crops)
    elif master:
        targets = teacher_targets(master, crops, output / TARGETS, log)
    torch.manual_seed(config.seed)
    network = starting_network(found.get("initial"))
    if taught and (of_teacher := targets.shape[1]) != (own := network.config.embedding):
        raise UsageError(f"--teacher {teacher}: its embeddings have {of_teacher} numbers, those of the network {own}")
    for part in (*network.input_layers, *network.blocks[: options.freeze_blocks]) if options.freeze_blocks else ():
        freeze(part)
    if initial:
        keep_statistics(network)
    settings: dict[str, Any] = inputs | asdict(options)
    trained = {"faces": len(crops), "identities": people, **settings, **asdict(config)}
    mirrored = not initial or MIRROR in found["initial"].value("input.views", list)
    about = {"trained": trained, "mirrored": mirrored}
    task = EmbedderTask(network, crops, targets, validations, options, about=about, workers=workers)
    settings["data"] = f"{', '.join(path.name for path in data)} {crops.digest()}"
    settings["validation"] = ", ".join(f"{one.name} {one.crops.digest()}" for one in validations)
    shown = TensorBoard(), Curves(), FirstFaces()
    return fit(task, config, output, inputs=settings, resume=resume, log=log, callbacks=(*shown, *callbacks))


def _find(option: str, path: Path) -> Model:
    if path.suffix == ".dat":
        raise UsageError(f"--{option} {path}: not a model folder; tools/convert_dlib.py makes one of dlib's network")
    return find(path.resolve() if path.is_dir() else path, TASK)
