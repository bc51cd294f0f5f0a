"""Options of commands: those that several share are declared here once, and dataclasses give an option per field."""

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer import Argument, Option

from vision_app.core.errors import UsageError
from vision_app.core.flags import range_error
from vision_app.core.limits import MAX_IMAGE_BYTES, MAX_PIXELS, ReadLimits
from vision_app.released.execution import Execution
from vision_app.released.names import DETECTOR, FACE_DETECTOR, FACE_EMBEDDER

BOXES = "FILE.json|FILE.yaml|FOLDER"


class BadValueError(typer.BadParameter):
    """A value of an option that cannot be used; the message begins with the value."""

    def format_message(self) -> str:
        """Return the message behind the name of the option, as those of `UsageError` are."""
        assert self.param is not None
        return f"{self.param.opts[0]} {self.message}"


def whole_number(text: str) -> int:
    """Parse a whole number."""
    try:
        return int(text)
    except ValueError:
        raise BadValueError(f"{text}: must be a whole number") from None


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    if wrong := range_error(value := whole_number(text), 1):
        raise BadValueError(f"{text}: {wrong}")
    return value


def number(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadValueError(f"{text}: must be a number")
    return value


PARSERS: dict[Any, Callable[[str], float]] = {
    int: whole_number,
    int | None: whole_number,
    float: number,
    float | None: number,
    list[float] | None: number,
}


class Text:
    """How the help shows an option.

    Args:
        metavar: What a value looks like; empty for a switch.
        help: What the option does.
        names: Its names, where they are not that of the parameter alone.
        argument: Whether it is an argument.
        **settings: Others of `typer.Option`.
    """

    def __init__(self, metavar: str, help: str, *names: str, argument: bool = False, **settings: Any):
        self.names, self.argument = names, argument
        self.settings = {"metavar": metavar or None, "help": help, **settings}

    def parameter(self, name: str, kind: Any, default: Any) -> inspect.Parameter:
        """Return the parameter of a command."""
        names = self.names or (("--" + name.replace("_", "-"),) if default is False else ())
        settings = {"parser": PARSERS.get(kind), **self.settings}
        info = Argument(**settings) if self.argument else Option(*names, **settings)
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
        )


def is_folder(path: Path | None) -> Path | None:
    """Refuse the path of a file where a folder is to be written."""
    if path and os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        raise UsageError(f"--output {path}: is a file; choose a folder")
    return path


def output_folder(help: str) -> Text:
    """Return the text of --output where it is a folder."""
    return Text("DIR", help, callback=is_folder)


SHARED = {
    "sources": Text(
        "SOURCE", "Images, folders (searched with all sub-folders) and quoted glob patterns.", argument=True
    ),
    "data": Text(BOXES, "Images with boxes: a COCO file, a YOLO data.yaml or a PASCAL VOC folder.", exists=True),
    "split": Text("NAME", "Split of the data to use.", show_default="val, else test, else all"),
    "output": output_folder("New folder for metrics, tables and plots."),
    "images": Text("", "Write annotated copies to DIR/images."),
    "model": Text("NAME", "Released model, or path of a model folder or exported file."),
    "tta": Text(
        "", "Use test-time augmentation: run each image at 3 sizes, plain and mirrored. Slower, finds more with yolo."
    ),
    "confidence": Text(
        "0..1", "Minimum score of a detection.",
        show_default="the model's own, see `models info`",
    ),
    "iou": Text(
        "0..1", "IoU from which non-maximum suppression merges two boxes.", show_default="the model's own"
    ),
    "max_detections": Text(
        "N", "Maximum number of detections per image.",
        parser=positive_int, show_default="the model's own",
    ),
    "detector": Text("NAME", "Face detector: a released model or a path."),
    "smallest": Text(
        "PX", "Side of the smallest face to detect, in pixels of the image. Larger is faster on large images."
    ),
    "largest": Text("", "Use the largest face of an image with several."),
    "far": Text("RATE", "False accept rate: how often two strangers may pass for one person."),
    "gallery": Text("FILE.db", "Gallery file; only its owner can read it."),
    "batch_size": Text("N", "Images per batch.", parser=positive_int, show_default="8, or 32 on a GPU"),
    "workers": Text("N", "Worker threads, one core each.", parser=positive_int, show_default="one per core"),
    "device": Text("auto|cpu|cuda|cuda:N", "Device to run on; a number N alone means cuda:N."),
    "runtime": Text("auto|onnx|torch", "Inference runtime."),
    "max_megapixels": Text("N", "Refuse images larger than this."),
    "max_megabytes": Text("N", "Refuse files of images larger than this."),
    "resume": Text("", "Resume an interrupted run."),
    "overwrite": Text("", "Replace files of the same names; others stay."),
}  # fmt: skip
IMAGES = Text(
    "FOLDER", "Folder with the images, if they are not where the data's format has them; may be repeated.", "--images",
    show_default="beside the data", exists=True, file_okay=False,
)  # fmt: skip
FACE_MODEL = Text("NAME", "Face embedder: a released model or a path.")
DETECTION_MODEL = Text(
    "NAME",
    "Released model, path of a model folder or exported file, or torchvision:NAME (downloaded on first use). Several "
    "joined by + form an ensemble.",
    show_default=DETECTOR,
)


@dataclass(frozen=True)
class Batch:
    """How a command over many images runs.

    Raises:
        UsageError: --max-megapixels is less than one pixel, or --max-megabytes less than one byte.
    """

    workers: int | None = None
    max_megapixels: float = MAX_PIXELS // 1_000_000
    max_megabytes: float = MAX_IMAGE_BYTES // 1_000_000
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value in (("--max-megapixels", self.max_megapixels), ("--max-megabytes", self.max_megabytes)):
            if round(value * 1e6) < 1:
                raise UsageError(f"{name} {value:g}: must be at least 0.000001; the nearest valid value is 0.000001")

    @property
    def limits(self) -> ReadLimits:
        """The limits of images in pixels and bytes."""
        return ReadLimits(max_pixels=round(self.max_megapixels * 1e6), max_bytes=round(self.max_megabytes * 1e6))

    @property
    def limit_settings(self) -> dict[str, float]:
        """The limits of images as settings of a journal; that of bytes only where it is not the default one."""
        settings = {"--max-megapixels": self.max_megapixels}
        if self.max_megabytes != Batch.max_megabytes:  # which runs before this option did not name
            settings["--max-megabytes"] = self.max_megabytes
        return settings


@dataclass(frozen=True)
class FaceModels:
    """What detects and embeds faces, and how small they may be."""

    model: str = FACE_EMBEDDER
    detector: str = FACE_DETECTOR
    smallest: float = 20


@dataclass(frozen=True)
class Fields:
    """What a command takes of a dataclass.

    Attributes:
        texts: How the help shows the fields, and in which order.
        only: Fields to take; None: all.
        defaults: Values that differ from the defaults of the dataclass, those of fields that are not taken included.
    """

    texts: Mapping[str, Text] = field(default_factory=dict)
    only: Sequence[str] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, kind: Any) -> list[inspect.Parameter]:
        """Return a parameter for each field."""
        hints, texts = get_type_hints(kind), SHARED | dict(self.texts)
        defaults = {each.name: each.default for each in fields(kind)} | dict(self.defaults)
        chosen = [name for name in ({**self.texts} | defaults) if name in defaults]
        return [
            texts[name].parameter(name, hints[name], defaults[name])
            for name in chosen
            if self.only is None or name in self.only
        ]


BUNDLES = {Execution: Fields(only=("device", "runtime"))}  # what commands take of a dataclass unless they say more
ONE_THREAD = Fields(only=("device", "runtime"), defaults={"threads": 1})  # for commands that run several at once
FACE_MODELS = Fields({"model": FACE_MODEL})
FACE_MODELS_OF_ANY_SIZE = Fields({"model": FACE_MODEL}, only=("model", "detector"))


def with_options(
    without: Sequence[str] = (), defaults: Mapping[str, Any] | None = None, **declared: Text | Fields
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that declares the options of a command.

    A parameter becomes the option of its name, one that is a dataclass becomes an option for each field.

    Args:
        without: Options to leave out.
        defaults: Other defaults of the function's own parameters.
        **declared: How the help shows parameters that are not in SHARED, or differ; what to take of dataclasses.
    """

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        hints = get_type_hints(function)
        own: list[inspect.Parameter] = []
        bundles: dict[str, tuple[Any, Fields, list[inspect.Parameter]]] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            declaration = declared.get(name)
            if is_dataclass(hints[name]):
                taken = declaration if isinstance(declaration, Fields) else BUNDLES.get(hints[name], Fields())
                bundles[name] = hints[name], taken, taken.parameters(hints[name])
            elif hints[name] is typer.Context:
                own.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
            else:
                text = declaration if isinstance(declaration, Text) else SHARED[name]
                default = (defaults or {}).get(name, parameter.default)
                own.append(text.parameter(name, hints[name], default))
        everything = own + [each for *_, generated in bundles.values() for each in generated]
        parameters = [each for each in everything if each.name not in without]

        @wraps(function)
        def command(**given: Any) -> int:
            values = {each.name: given[each.name] for each in own if each.name in given}
            for name, (kind, taken, generated) in bundles.items():
                options = {each.name: given[each.name] for each in generated if each.name in given}
                values[name] = kind(**{**taken.defaults, **options})
            return function(**values)

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
        return command

    return decorate
