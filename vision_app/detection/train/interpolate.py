"""Interpolate the weights of a detector and of another one that was trained from it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vision_app.core.errors import UsageError
from vision_app.detection.model.build import load_network
from vision_app.detection.model.yolo import YOLO
from vision_app.detection.train.export import check_output, settings_of, write_model
from vision_app.detection.train.initial import find_model, name_and_digest
from vision_app.released.landmarks import Landmarks


def blend_models(start: Path, trained: Path, fraction: float, output: Path) -> None:
    """Write the model folder of a detector between two; see `blend`.

    Args:
        start: A model, by its folder or name: `initial` of the run of `trained`, or what that run started from.
        trained: Another one, whose model.json says where its training started.
        fraction: See `blend`.
        output: Where to write.

    Raises:
        UsageError: The fraction lies outside 0 to 1, training did not lead from one to the other, the two are not
            alike, or `output` contains a model already.
    """
    check_output(output)
    models = find_model(start), find_model(trained)
    first, network = (load_network(model, YOLO) for model in models)
    if models[0].classes != models[1].classes:
        raise UsageError(f"{start} and {trained}: the two models know different classes")
    run = models[1].info.get("trained", {})
    begun = run.get("initial", "").split()[-1:] == name_and_digest(start).split()[-1:]
    if not begun and (not run or run != models[0].info.get("trained")):  # which initial/ and best/ of a run share
        raise UsageError(f"{start} and {trained}: the second did not start from the first; take initial/ of its run")
    try:
        network.load_state_dict(blend(first.state_dict(), network.state_dict(), fraction))
    except ValueError as error:
        raise UsageError(f"{start} and {trained}: {error}") from error
    write_model(
        network, output, name=output.name, landmarks=Landmarks.of(models[1]), trained=run | {"blended": fraction},
        **settings_of(models[1]),
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
