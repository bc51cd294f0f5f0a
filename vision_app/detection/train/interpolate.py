"""The detector on the way from one to another that was trained from it; see `training.blend`."""

from pathlib import Path

from vision_app.core.errors import UsageError
from vision_app.detection.train.export import write_model
from vision_app.detection.train.initial import released_network
from vision_app.detection.train.trainer import find_model, identity
from vision_app.released.landmarks import Landmarks
from vision_app.training.blend import blend
from vision_app.training.runs import check_folder


def blend_models(start: Path, trained: Path, fraction: float, output: Path) -> None:
    """Writes the model folder on the way from one detector to another; see `training.blend`.

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
