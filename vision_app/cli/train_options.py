"""Options of the commands that train: their texts, and their values from a YAML file of the user's or of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import typer

from vision_app.cli.commands import HIDDEN_ALIASES
from vision_app.cli.options import BOXES, Fields, Text, is_folder, positive_int
from vision_app.cli.terminal import say
from vision_app.core.errors import UsageError, unknown
from vision_app.core.figures import import_matplotlib
from vision_app.core.files import atomic_write

# By panel and field: what a value looks like, and what the option does. Limits are checked by the dataclasses.
PANELS = {
    "Network": {
        "transfer": ("head|last|all", "Parts of the network from --initial to train; the others are frozen."),
        "backbone": ("NAME", "Backbone of a new network: csp, residual, inception or shuffle."),
        "initialize": ("he|xavier", "Initialization of new weights."),
        "size": ("N", "Side of the network's input in pixels."),
        "freeze_blocks": ("N", "Freeze the first N of the network's 14 blocks."),
    },
    "Loss": {
        "loss": ("triplet|teacher|both", "Loss; by default both, or triplet without a teacher."),
        "miner": ("NAME", "Triplet mining: batch-hard, semi-hard or batch-all."),
        "distance": ("squared|euclidean", "Distance of two faces in a triplet."),
        "margin": ("DISTANCE", "Margin of the triplet loss."),
        "triplet_weight": ("WEIGHT", "Weight of the triplet loss."),
        "relations": ("WEIGHT", "Weight of the similarities between faces according to the teacher."),
        "content": ("WEIGHT", "Weight of the content loss."),
        "style": ("WEIGHT", "Weight of the style loss."),
        "identity": ("WEIGHT", "Weight of the changes to an image that is its own style."),
        "lattice": ("WEIGHT", "Weight of dots that repeat with the network's grid."),
    },
    "Optimization": {
        "epochs": ("N", "Passes over the training data."),
        "batch_size": ("N", "Images per step, over all devices."),
        "accumulate": ("N", "Gradient-accumulation steps per batch; more take less memory."),
        "people": ("N", "People with several photos in each batch."),
        "photos": ("N", "Photos of each of these people."),
        "optimizer": (
            "NAME",
            "Optimizer: sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamax, nadam or adamw.",
        ),
        "momentum": ("0..1", "Momentum (beta 1 for Adam variants)."),
        "clip": ("NORM", "Clip the gradient norm to this value."),
        "ema_decay": ("0..1", "EMA decay; the EMA weights are evaluated and saved."),
    },
    "Learning rate": {
        "learning_rate": ("RATE", "Peak learning rate."),
        "schedule": (
            "NAME",
            "Learning-rate schedule: constant, step, exponential, cosine, restarts, triangle, one-cycle or plateau.",
        ),
        "warmup_epochs": ("N", "Epochs of linear warm-up."),
        "min_lr_ratio": ("0..1", "Minimum learning rate of the schedule, relative to the peak."),
        "cycles": ("N", "Stages of step; cycles of restarts and triangle."),
        "plateau_patience": ("N", "Validations without improvement before plateau lowers the learning rate."),
    },
    "Regularization and augmentation": {
        "weight_decay": ("AMOUNT", "Weight decay (L2)."),
        "l1": ("AMOUNT", "L1 penalty on weights; with --weight-decay an elastic net."),
        "dropout": ("0..1", "Dropout probability of a channel before the classification layer."),
        "label_smoothing": ("0..1", "Label smoothing of the class targets."),
        "adversarial": ("EPS", "Also train on fast-gradient-sign examples with steps of EPS, from 0 to 1."),
        "stretch": ("1..4", "Maximum aspect-ratio jitter; 1 disables it."),
        "mosaic": ("0..1", "Probability of mosaic augmentation."),
        "close_epochs": ("N", "Disable mosaic for the last N epochs."),
        "multi_scale": ("", "Vary the input size from batch to batch."),
    },
    "Validation and checkpoints": {
        "validate_every": ("N", "Epochs between validations."),
        "patience": ("N", "Stop after N validations without improvement; 0 disables early stopping."),
        "keep": ("N", "Number of best models to keep in RUN/top, besides RUN/best."),
        "checkpoint_every": ("N", "Steps between checkpoints; 0 saves only after each epoch."),
    },
    "Machine": {
        "device": ("auto|cpu|cuda|cuda:N", "Device to train on; a number N alone means cuda:N."),
        "devices": ("N", "Processes, one GPU each with cuda; or start them with torchrun."),
        "precision": ("auto|fp32|bf16|fp16", "Precision; auto uses bf16 where it is fast."),
        "seed": ("N", "Random seed."),
    },
}
TEXTS = {
    name: Text(metavar, text, rich_help_panel=panel)
    for panel, texts in PANELS.items()
    for name, (metavar, text) in texts.items()
}
LOOP = (  # the fields of `TrainConfig` that every command has
    "epochs", "batch_size", "ema_decay", "learning_rate", "warmup_epochs", "weight_decay", "validate_every",
    "checkpoint_every", "device", "precision", "seed",
)  # fmt: skip

KEPT = "options.yaml"  # in the folder of a run
DATA = Text(
    BOXES, "Images with boxes: a COCO file, a YOLO data.yaml or a PASCAL VOC folder; may be repeated.", exists=True
)
TEACHER_BOXES = Text("FILE.json.gz", "Teacher's boxes for classes that are not labeled.", exists=True, dir_okay=False)


def validation(metavar: str, more: str = "") -> Text:
    """Return the text of --validation."""
    about = "The first decides which model is best; may be repeated. By default the validation split of --data."
    return Text(metavar, f"Data to evaluate on{more}. {about}", "--validation", "--val", exists=True)


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the contents of the file the defaults of the options, each parsed and checked as if it were given."""
    if path is not None:
        context.default_map = {**(context.default_map or {}), **_options(context, path)}
    return path


def resumed(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Make the options that a run was started with the defaults, behind those of --config.

    A callback of --output and --resume, both eager: it acts when both are known.
    """
    if parameter.name == "output":
        is_folder(value)
    context.meta[str(parameter.name)] = value
    output = context.meta.get("output")
    if output and context.meta.get("resume") and (output / KEPT).is_file():
        context.default_map = {**_options(context, output / KEPT), **(context.default_map or {})}
    return value


def write_options(context: typer.Context, folder: Path) -> None:
    """Write all options but those that say where and what to do, as a file for --config that holds in any folder."""
    import yaml

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, Path):  # a model's name is one, too
            return str(value.resolve() if value.exists() else value)
        return value

    left_out = {"config", "help", "output", "resume", "find_lr", "plot_schedule"}
    given = {option: context.params[option.name] for option in context.command.params if option.name not in left_out}
    values = {option.opts[0].removeprefix("--"): plain(value) for option, value in given.items() if value is not None}
    with atomic_write(folder / KEPT) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _options(context: typer.Context, path: Path) -> dict[str, str | list[str]]:
    """Return the values in the file by parameter.

    They are text: YAML reads 1e-3 as a word and 2 as a number, and options rely on neither.
    """
    from vision_app.core.yaml_file import read_yaml

    try:
        content, _ = read_yaml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path}: cannot be read as YAML ({error})") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: has no options; write one per line, such as `epochs: 30`")
    options = {opt: option for option in context.command.params for opt in option.opts}
    options = {opt: option for opt, option in options.items() if opt not in ("--config", "--help")}
    chosen = {}
    for key, value in content.items():
        flag = "--" + str(key).replace("_", "-")
        option = options.get(HIDDEN_ALIASES.get(flag, flag))
        if option is None:
            names = sorted(opt.removeprefix("--") for opt in options)
            raise UsageError(f"--config {path}: " + unknown("option", str(key), names))
        values = value if isinstance(value, list) else [value]
        if isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
            raise UsageError(f"--config {path}: {key} takes one value")
        if value is not None:
            chosen[str(option.name)] = [str(each) for each in values] if option.multiple else str(value)
    return chosen


RUN = {
    "config": Text(
        "FILE.yaml", "Options by name, such as `batch-size: 16`; options on the command line take precedence.",
        exists=True, dir_okay=False, is_eager=True, callback=read_config,
    ),
    "output": Text(
        "RUN", "Folder of the run; RUN/best becomes the model.", is_eager=True, callback=resumed
    ),
    "resume": Text(
        "", "Resume the run in RUN, with the options that it was started with; more --epochs prolong it.",
        is_eager=True, callback=resumed,
    ),
    "workers": Text("N", "Worker processes that load and augment data.", parser=positive_int),
}  # fmt: skip


@dataclass(frozen=True)
class RunOptions:
    """The options of a run as such. Its folder keeps those of the command from the start."""

    config: Path | None = None
    output: Path | None = None
    resume: bool = False
    workers: int = 1

    def begin(self, context: typer.Context, **needed: object) -> dict[str, Any]:
        """Check that there are the options that a run needs, and return what every `train` takes of this.

        Raises:
            UsageError: One of the needed options, by name, or --output is missing.
        """
        for name, value in {**needed, "output": self.output}.items():
            if not value:
                raise UsageError(f"Missing option '--{name}'.")
        import_matplotlib()  # before Fabric does, by way of torchmetrics
        return {
            "output": self.output,
            "workers": self.workers,
            "resume": self.resume,
            "log": say,
            "callbacks": [SimpleNamespace(on_start=lambda folder, *_: write_options(context, folder))],
        }


def trained(only: Sequence[str] | None = None, **defaults: Any) -> Fields:
    """Return what a command takes of the configuration of a training, with other defaults."""
    return Fields(TEXTS, only, defaults)
