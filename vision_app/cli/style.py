"""`vision-app style`: repaint images and folders of images in the style of others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from vision_app.cli.options import number, positive_int

if TYPE_CHECKING:
    from vision_app.style.options import StyleOptions
    from vision_app.style.stylizer import PreparedStyles, Stylizer


def style(
    sources: Annotated[
        list[str],
        Argument(metavar="CONTENT", help="Images, folders (with all their sub-folders) and quoted glob patterns."),
    ],
    styles: Annotated[
        list[str],
        Option(
            "--style",
            metavar="FILE|sample:NAME",
            help="Image to take the style from, or the name of one of our own; each --style makes other pictures.",
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="Folder for the pictures and styles.jsonl.")],
    method: Annotated[
        str,
        Option(
            metavar="fast|optimize|color",
            help="fast: one pass of a network. optimize: the classic method, slow and thorough. color: a photo remains "
            "a photo and takes the colors.",
        ),
    ] = "fast",
    strength: Annotated[
        float, Option(metavar="0..1", parser=number, help="How much of the style; 0 leaves the content as it is.")
    ] = 1.0,
    size: Annotated[
        int | None,
        Option(
            metavar="N",
            help="Long side of the pictures, in pixels; contents are scaled down or up.",
            show_default="the content's own; with optimize at most 1024",
        ),
    ] = None,
    style_size: Annotated[
        int | None,
        Option(
            metavar="N",
            help="Largest long side at which styles are looked at: smaller makes finer strokes.",
            show_default="512; with optimize the picture's",
        ),
    ] = None,
    keep_colors: Annotated[
        str,
        Option(
            metavar="no|luminance|histogram",
            help="Keep the content's colors: paint light and dark alone, or match how frequent colors are.",
        ),
    ] = "no",
    mix: Annotated[bool, Option("--mix", help="Mix all styles in one picture.")] = False,
    weights: Annotated[
        str | None, Option(metavar="W1,W2,...", help="Parts of the styles of --mix.", show_default="equal")
    ] = None,
    alpha: Annotated[
        float | None,
        Option(metavar="X", parser=number, help="Weight of the content, with optimize.", show_default="1"),
    ] = None,
    beta: Annotated[
        float | None,
        Option(metavar="X", parser=number, help="Weight of the style, with optimize.", show_default="100"),
    ] = None,
    total_variation: Annotated[
        float | None,
        Option(metavar="X", parser=number, help="Weight of smoothness, with optimize.", show_default="4"),
    ] = None,
    iterations: Annotated[
        int | None,
        Option(metavar="N", parser=positive_int, help="Steps a picture, with optimize.", show_default="150"),
    ] = None,
    optimizer: Annotated[
        str | None, Option(metavar="lbfgs|adam", help="What takes the steps, with optimize.", show_default="lbfgs")
    ] = None,
    start: Annotated[
        str | None,
        Option(metavar="content|noise|fast", help="Picture to begin with, with optimize.", show_default="content"),
    ] = None,
    seed: Annotated[int | None, Option(metavar="N", help="Of noise, with optimize.", show_default="0")] = None,
    preview_every: Annotated[
        int | None,
        Option(
            metavar="N",
            parser=positive_int,
            help="Write the picture so far to DIR/previews after every N steps, with optimize.",
            show_default="never",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        Option(
            metavar="NAME|FILE.pth",
            help="In whose features optimize compares pictures: a released model, the path of a model folder, or vgg19 "
            "with torchvision's weights, fetched at first use or from a file.",
            show_default="style-encoder",
        ),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Network of fast: a released model, or the path of a model folder.",
            show_default="style-fast",
        ),
    ] = None,
    device: Annotated[str, Option(metavar="auto|cpu|cuda|cuda:N", help="Where the networks run.")] = "auto",
    runtime: Annotated[str, Option(metavar="auto|onnx|torch", help="What runs the networks.")] = "auto",
    max_megapixels: Annotated[float, Option(metavar="N", parser=number, help="Refuse images larger than this.")] = 100,
    resume: Annotated[bool, Option("--resume", help="Continue a run that was broken off.")] = False,
) -> int:
    """Repaint images in the style of others.

    DIR gets a picture CONTENT__STYLE.png for every content and style, and DIR/styles.jsonl a row that names it, in the
    order of the contents (folders by path). What is odd about pictures, such as a style of one color, is noted there.
    An image that cannot be read or painted gets a row that says why, and the run goes on. With optimize, --resume goes
    on inside the picture at which the run was broken off.

    Exit code: 0 all pictures were painted, 1 some failed, 2 wrong usage or nothing to do.
    """
    from contextlib import nullcontext

    from vision_app.batch.sinks import ImageFolder, Journal
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.core.errors import UsageError
    from vision_app.core.interrupt import Interrupt
    from vision_app.style.batch import StyleTask, pair_inputs
    from vision_app.style.load import load_stylizer
    from vision_app.style.options import StyleOptions

    max_pixels = pixel_limit(max_megapixels)
    parts = None if weights is None else _numbers(weights)
    options = StyleOptions(
        strength, size, style_size, keep_colors, parts, alpha, beta, total_variation, iterations, optimizer, start, seed
    )
    options.check_method(method)
    if preview_every and method != "optimize":
        raise UsageError(f"--preview-every: belongs to --method optimize, not to {method}; leave it out")
    if mix:
        options.shares(len(styles))
    elif weights is not None:
        raise UsageError("--weights: are parts of one picture; add --mix, or leave them out")
    stylizer = load_stylizer(method, model=model, encoder=encoder, device=device, runtime=runtime)
    prepared = _prepare(stylizer, [styles] if mix else [[one] for one in styles], options)
    jobs = pair_inputs(gather(sources, output, named=True), prepared)
    network = {}
    if stylizer.name is not None:
        flag = "--encoder" if method == "optimize" else "--model"
        network[flag] = f"{stylizer.name} {stylizer.digest(options)[:12]}"
    settings = {
        "--method": method,
        "--style": [label for one in prepared for label in one.labels],
        "--mix": mix,
        **{f"--{name.replace('_', '-')}": value for name, value in vars(options).items()},
        **network,
        "--device": stylizer.device.partition(":")[0],
        "--runtime": stylizer.runtime,
        "--max-megapixels": max_megapixels,
    }
    slow = method == "optimize"
    with (
        Journal(output / "styles.jsonl", settings=settings, inputs=jobs, batch_size=1, resume=resume) as journal,
        Interrupt() if slow else nullcontext() as interrupt,
    ):
        task = StyleTask(
            stylizer, options, ImageFolder(output, ".png"),
            max_pixels=max_pixels,
            state=output / "unfinished.safetensors" if slow else None,
            previews=ImageFolder(output / "previews", ".png") if preview_every else None,
            preview_every=preview_every or 1,
            interrupt=interrupt,
        )  # fmt: skip
        # One picture is read or written while another one is painted, which takes all cores.
        return run_all(task, journal, workers=1 if slow else 2, watch=task.watch)


def _numbers(weights: str) -> tuple[float, ...]:
    """Parse the value of --weights."""
    from vision_app.core.errors import UsageError

    try:
        return tuple(map(float, weights.split(",")))
    except ValueError:
        raise UsageError(f"--weights {weights}: must be numbers with commas between them, as in 0.7,0.3") from None


def _prepare(stylizer: "Stylizer", groups: list[list[str]], options: "StyleOptions") -> "list[PreparedStyles]":
    """Read the styles, those of a group for one picture; one that is no style is wrong usage."""
    from vision_app.core.errors import ImageError, UsageError

    try:
        return [stylizer.prepare(group, options) for group in groups]
    except ImageError as error:
        raise UsageError(f"--style {error}") from error
