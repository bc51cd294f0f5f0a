"""Interpolate the weights of a detector and of another one that was trained from it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vision_app.core.errors import UsageError
from vision_app.detection.train.export import write_model
from vision_app.detection.train.initial import released_network
from vision_app.detection.train.trainer import find_model, identity
from vision_app.released.landmarks import Landmarks
from vision_app.training.runs import check_folder


def blend_models(start: Path, trained: Path, fraction: float, output: Path) -> None:
    """Writes the model folder on the way from one detector to another; see `blend`.

    Args:
        start: a model, by its folder or name: `initial` of the run of `trained`, or what that run started from.
        trained: another, which says of itself where its training started.

    Raises:
        UsageError: the fraction lies outside 0 to 1, training did not lead from one to the other, the two are not
            alike, or `output` holds a model already.
    """
    check_folder(output, "model.json")
    if (output / "model.json").exists():
        raise UsageError(f"--output {output}: holds a model already")
    models = find_model(start), find_model(trained)
    networks = [released_network(model) for model in models]
    if models[0].classes != models[1].classes:
        raise UsageError(f"{start} and {trained}: the two models know different classes")
    run = models[1].info.get("trained", {})
    begun = run.get("initial", "").split()[-1:] == identity(start).split()[-1:]
    if not begun and (not run or run != models[0].info.get("trained")):  # which initial/ and best/ of a run share
        raise UsageError(f"{start} and {trained}: the second did not start from the first; take initial/ of its run")
    try:
        mixed = blend(*(network.state_dict() for network in networks), fraction)
    except ValueError as error:
        raise UsageError(f"{start} and {trained}: {error}") from error
    network, model = networks[1], models[1]
    network.load_state_dict(mixed)
    write_model(
        network, output, name=output.name, classes=model.classes, defaults=model.defaults,
        size=model.value("input.size", int), stretch=model.info["input"].get("stretch", 1.0),
        landmarks=Landmarks.of(model), trained=run | {"blended": fraction},
    )  # fmt: skip


def blend(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float) -> dict[str, Tensor]:
    """Return (1 - fraction) start + fraction trained, tensor by tensor.

    Fine-tuning on little data forgets some of what a network knew; a point between the two often knows both (WiSE-FT,
    Wortsman et al., 2022). It works while the two lie in one valley of the loss.

    Args:
        start: State dictionary of the network that training started from.
        trained: State dictionary of the same names and shapes.
        fraction: 0 gives the start, 1 the trained network.

    Raises:
        ValueError: The names or shapes differ, or the fraction lies outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction}: must lie between 0 and 1")
    if {name: t.shape for name, t in start.items()} != {name: t.shape for name, t in trained.items()}:
        raise ValueError("the two networks are not of the same architecture")
    return {
        name: torch.lerp(start[name], tensor, fraction) if tensor.is_floating_point() else tensor
        for name, tensor in trained.items()
    }
