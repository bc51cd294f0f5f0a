"""`vision-app style`: repaint images in the style of others."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_app.cli.batch import gather, run_batch, runtime_settings
from vision_app.cli.options import Batch, Fields, Text, output_folder, positive_int, with_options
from vision_app.core.errors import ImageError, UsageError
from vision_app.core.interrupt import Interrupt
from vision_app.released.execution import Execution
from vision_app.released.names import STYLE_ENCODER, STYLE_NETWORK
from vision_app.style.options import StyleOptions

if TYPE_CHECKING:
    from vision_app.style.stylizer import PreparedStyles, Stylizer


TEXTS = {
    "strength": Text("0..1", "Strength of the style; 0 leaves the content as it is."),
    "size": Text(
        "N",
        "Long side of the results in pixels; contents are scaled down or up.",
        show_default="that of the content; with optimize at most 1024",
    ),
    "style_size": Text(
        "N",
        "Maximum long side of the style images in pixels; smaller gives finer strokes.",
        show_default="512; with optimize that of the result",
    ),
    "keep_colors": Text(
        "no|luminance|histogram",
        "Keep the colors of the content: stylize only the luminance, or match the color histograms.",
    ),
    "alpha": Text("X", "Content weight (optimize).", show_default="1"),
    "beta": Text("X", "Style weight (optimize).", show_default="100"),
    "total_variation": Text("X", "Total-variation (smoothness) weight (optimize).", show_default="4"),
    "iterations": Text("N", "Iterations per image (optimize).", show_default="150"),
    "optimizer": Text("lbfgs|adam", "Optimizer (optimize).", show_default="lbfgs"),
    "start": Text("content|noise|fast", "Initial image (optimize).", show_default="content"),
    "seed": Text("N", "Random seed of the noise (optimize).", show_default="0"),
}


@with_options(
    sources=Text(
        "CONTENT", "Images, folders (searched with all sub-folders) and quoted glob patterns.", argument=True
    ),
    styles=Text(
        "FILE|sample:NAME",
        "Style image, or the name of a bundled sample; each --style gives images of its own.",
        "--style",
    ),
    output=output_folder("Folder for the results and styles.jsonl."),
    method=Text(
        "fast|optimize|color",
        "fast: one pass of a network. optimize: the classic method, slow and thorough. color: transfer colors only, so "
        "that a photo remains a photo.",
    ),
    mix=Text("", "Mix all styles in one image."),
    weights=Text("W1,W2,...", "Weights of the styles with --mix.", show_default="equal"),
    options=Fields(TEXTS, only=tuple(TEXTS)),
    without=("workers",),
    preview_every=Text(
        "N", "Write the image so far to DIR/previews every N iterations (optimize).",
        parser=positive_int, show_default="never",
    ),
    encoder=Text(
        "NAME|FILE.pth",
        "Encoder in whose features images are compared (optimize): a released model, the path of a model folder, or "
        "vgg19 with torchvision's weights, downloaded on first use or from a file.",
        show_default=STYLE_ENCODER,
    ),
    model=Text(
        "NAME", "Network of fast: a released model, or the path of a model folder.", show_default=STYLE_NETWORK
    ),
)  # fmt: skip
def style(
    options: StyleOptions,
    execution: Execution,
    batch: Batch,
    sources: list[str],
    styles: list[str],
    output: Path,
    method: str = "fast",
    mix: bool = False,
    weights: str | None = None,
    preview_every: int | None = None,
    encoder: str | None = None,
    model: str | None = None,
) -> int:
    """Repaint images in the style of others.

    DIR gets an image CONTENT__STYLE.png for every content and style, and DIR/styles.jsonl a row for each, in the order
    of the contents (folders by path). Whatever is unusual about an image, such as a style of a single color, is noted
    there. An image that cannot be read or stylized gets a row that says why, and the others are processed. With
    optimize, --resume continues within the image at which the run was interrupted.

    Exit code: 0 all images were stylized, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import ImageFolder, image_path, remove
    from vision_app.style.batch import StyleTask, pair_inputs
    from vision_app.style.load import load_stylizer

    # With fast, one image is read or written while another one is painted, which takes all cores.
    batch = replace(batch, workers=1 if method == "optimize" else 2)
    options = replace(options, weights=None if weights is None else _numbers(weights))
    options.check_method(method)
    slow = method == "optimize"
    if preview_every and not slow:
        raise UsageError(f"--preview-every: belongs to --method optimize, not to {method}; leave it out")
    if mix:
        options.shares(len(styles))
    elif weights is not None:
        raise UsageError("--weights: needs --mix, which mixes all styles in one image; add it or leave out the weights")
    stylizer = load_stylizer(method, model=model, encoder=encoder, **vars(execution))
    prepared = _prepare(stylizer, [styles] if mix else [[one] for one in styles], options)
    settings: dict[str, Any] = {
        "--method": method,
        "--style": [label for one in prepared for label in one.labels],
        "--mix": mix,
        **{f"--{name.replace('_', '-')}": value for name, value in vars(options).items()},
    }
    if stylizer.name is not None:
        settings["--encoder" if slow else "--model"] = f"{stylizer.name} {stylizer.digest(options)[:12]}"
    settings |= {**runtime_settings(stylizer), **batch.limit_settings}

    state, previews = output / "unfinished.safetensors", output / "previews"

    def make_task() -> StyleTask:
        if not batch.resume:
            remove(state)
        return StyleTask(
            stylizer, options, ImageFolder(output, ".png"),
            limits=batch.limits,
            state=state if slow else None,
            previews=ImageFolder(previews, ".png") if preview_every else None,
            preview_every=preview_every or 1,
            interrupt=interrupt,
        )  # fmt: skip

    inputs = pair_inputs(gather(sources, output, named=True), prepared)
    with Interrupt() if slow else nullcontext() as interrupt:
        return run_batch(
            make_task, output / "styles.jsonl", inputs=inputs, settings=settings, options=batch,
            images=chain(
                (image_path(output, item.name, ".png") for item in inputs),
                (previews / item.name for item in inputs if preview_every),
            ),
            sources=styles,
        )  # fmt: skip


def _numbers(weights: str) -> tuple[float, ...]:
    """Parse the value of --weights."""
    try:
        return tuple(map(float, weights.split(",")))
    except ValueError:
        raise UsageError(f"--weights {weights}: must be numbers with commas between them, as in 0.7,0.3") from None


def _prepare(stylizer: "Stylizer", groups: list[list[str]], options: StyleOptions) -> "list[PreparedStyles]":
    """Read the styles, those of a group for one image; an unusable one is wrong usage."""
    try:
        return [stylizer.prepare(group, options) for group in groups]
    except ImageError as error:
        raise UsageError(f"--style {error}") from error
