"""Interpolate the weights of two detectors, of which one was trained from the other.

    python tools/interpolate_models.py RUN/initial RUN/last --fraction 0.2 --output MODEL

Fine-tuning on little data forgets some of what a network knew; a point between the two often knows both (WiSE-FT,
Wortsman et al., 2022). It works while the two lie in one valley of the loss.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vision_app.core.errors import UsageError, VisionAppError
from vision_app.detection.model.build import load_network
from vision_app.detection.model.yolo import YOLO
from vision_app.detection.train.export import check_output, settings_of, write_model
from vision_app.detection.train.initial import find_model, name_and_digest
from vision_app.released.landmarks import Landmarks


def interpolate_models(start: Path, trained: Path, fraction: float, output: Path) -> None:
    """Write the model folder of a detector between two; see `interpolate`.

    Args:
        start: A model, by its folder or name: `initial` of the run of `trained`, or what that run started from.
        trained: Another one, whose model.json says where its training started.
        fraction: See `interpolate`.
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
        network.load_state_dict(interpolate(first.state_dict(), network.state_dict(), fraction))
    except ValueError as error:
        raise UsageError(f"{start} and {trained}: {error}") from error
    write_model(
        network, output, name=output.name, landmarks=Landmarks.of(models[1]), trained=run | {"blended": fraction},
        **settings_of(models[1]),
    )  # fmt: skip


def interpolate(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float) -> dict[str, Tensor]:
    """Return (1 - fraction) start + fraction trained, tensor by tensor.

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


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="model before training: name or folder, e.g. RUN/initial")
    parser.add_argument("trained", type=Path, help="model after training: name or folder, e.g. RUN/best")
    parser.add_argument("--fraction", type=float, default=0.5, help="of the way from START to TRAINED, 0 to 1")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="model folder to write")
    arguments = parser.parse_args(words)
    try:
        interpolate_models(arguments.start, arguments.trained, arguments.fraction, arguments.output)
    except VisionAppError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
