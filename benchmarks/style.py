"""How well and how fast images are stylized, compared with MicroAST and the classic method on VGG-19.

    python benchmarks/style.py --data ../data/style --teachers ../data/teachers/style --output OUT

Contents come from photos/ and styles from paintings/, center crops at 512 x 512 pixels; the teachers are MicroAST's
files and VGG-19 distilled to a sixteenth (`tools/convert_style_weights.py`). The Gram error is the distance of a
result from its style: of both at 256 x 256, the mean over conv1_1 to conv5_1 of the distilled encoder of
||G - T||^2 / ||T||^2. SSIM is the similarity to the content. The classic method takes minutes per image, so it
stylizes only some of the pairs (--subset); the columns "of N" are of these pairs for all methods.

Seconds are from pixels to pixels with a style of 512 x 512, its encoding included except in "prepared": medians of
several rounds, in brackets the minimum; in a round every method takes its turn. On a busy machine CPU seconds are more
reliable (--cpu; the sum of all threads). The classic method's are of one iteration; its VGG-19 has random weights, so
only its cost is meaningful. Megabytes are the peak of a new process that stylizes one image.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tools"))  # other people's networks are read there
from style_contestants import Classic, Contestant, contestants, stylize, write_micro_ast
from style_measures import Features, Quality, read_images, spread_out, teacher_features
from style_speed import iterate_once, peak_megabytes, stylize_once, take_turns, timed

from vision_app.cli.progress import show_progress
from vision_app.core.images import read_image, write_image

METHODS = ("fast", "micro-ast", "micro-ast-onnx", "color", "optimize", "vgg19")
CLASSIC = ("optimize", "vgg19")
SIDE = 512  # pixels, of results and of styles
TILE = 224  # pixels, of an image on the contact sheet

LARGE = (3840, 2160)  # pixels, at which the fast method's memory is judged

Size = tuple[int, int]  # width and height in pixels
Pair = tuple[str, str]  # names of content and style


@dataclass
class Line:
    """Results of a method: the quality of pairs and, by size, seconds of each round and megabytes."""

    name: str
    runtime: str
    quality: dict[Pair, Quality] = field(default_factory=dict)
    seconds: dict[Size, np.ndarray] = field(default_factory=dict)
    prepared: dict[Size, np.ndarray] = field(default_factory=dict)  # seconds without the style's encoding
    megabytes: dict[Size, float | None] = field(default_factory=dict)


def stylize_all(
    contestant: Contestant, contents: dict[str, np.ndarray], styles: dict[str, np.ndarray], pairs: Sequence[Pair],
    folder: Path | None, reuse: bool,
) -> dict[Pair, np.ndarray]:  # fmt: skip
    """Return the results of some pairs, which are written into a folder if there is one, or read from there."""
    results, method = {}, contestant.load()
    prepared = {name: method.prepare(styles[name]) for name in dict.fromkeys(style for _, style in pairs)}
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with show_progress(len(pairs), 0) as report:
        for content, style in pairs:
            path = folder and folder / f"{content}__{style}.png"
            if reuse and path and path.is_file():
                results[content, style] = read_image(path).pixels
            else:
                results[content, style] = method.stylize(contents[content], prepared[style])
                if path:
                    write_image(path, results[content, style])
            report([{"status": "ok"}])
    return results


def print_table(lines: Sequence[Line], sizes: Sequence[Size], subset: Sequence[Pair]) -> None:
    heads = ["", "runtime", "pairs", "Gram error", "SSIM", f"of {len(subset)}: Gram error", "SSIM"]
    for width, height in sizes:
        heads += [f"{width}x{height} s", "prepared", "MB"]
    table = [heads]
    for line in lines:
        few = [line.quality[pair] for pair in subset if pair in line.quality]
        cells = [line.name, line.runtime, str(len(line.quality) or "-"), *scores(list(line.quality.values()))]
        cells += scores(few)
        for size in sizes:
            cells += [spread(line.seconds.get(size)), spread(line.prepared.get(size))]
            megabytes = line.megabytes.get(size)
            cells.append("-" if megabytes is None else f"{megabytes:,.0f}")
        table.append(cells)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def scores(several: Sequence[Quality]) -> list[str]:
    """Return the means as two cells of the table."""
    if not several:
        return ["-", "-"]
    mean = Quality.mean(several)
    return [f"{mean.gram:.4f}", f"{mean.ssim:.3f}"]


def spread(seconds: np.ndarray | None) -> str:
    """Return median and minimum, such as "0.231 (0.225)"."""
    return "-" if seconds is None else f"{np.median(seconds):.3f} ({seconds.min():.3f})"


def print_verdicts(lines: dict[str, Line], size: Size) -> None:
    """Print whether our methods are as good and as fast as required."""
    where = f"seconds at {size[0]}x{size[1]}"
    ours, theirs, classic, vgg = (lines.get(name) for name in ("fast", "micro-ast", "optimize", "vgg19"))
    for name, runtime in (("micro-ast", ""), ("micro-ast-onnx", " on the same runtime")):
        seconds = ratio(ours, lines.get(name), lambda line: line.seconds.get(size))
        judge(f"fast: {where}, of MicroAST's{runtime}", seconds, "at most", 1.0)
    judge("fast: Gram error, of MicroAST's", ratio(ours, theirs, lambda line: mean_of(line).gram), "at most", 1.3)
    judge("fast: SSIM, of MicroAST's", ratio(ours, theirs, lambda line: mean_of(line).ssim), "at least", 0.9)
    seconds = ratio(classic, vgg, lambda line: line.seconds.get(size))
    judge(f"optimize: {where} an iteration, of VGG-19's", seconds, "at most", 1 / 6)
    judge("fast: megabytes at {}x{}".format(*LARGE), ours and ours.megabytes.get(LARGE), "at most", 2000.0)


def mean_of(line: Line) -> Quality:
    return Quality.mean(list(line.quality.values()))


def ratio(ours: Line | None, theirs: Line | None, value: Callable[[Line], np.ndarray | float | None]) -> float | None:
    """Return the ratio of two values, the median where there is one per round; None where one is missing."""
    values = [value(line) for line in (ours, theirs) if line]
    if len(values) < 2 or any(one is None for one in values):
        return None
    return float(np.median(np.divide(*values)))


def judge(what: str, value: float | None, side: str, limit: float) -> None:
    if value is None:
        print(f"----  {what}: not measured")
        return
    good = value <= limit if side == "at most" else value >= limit
    print(f"{'PASS' if good else 'FAIL'}  {what}: {value:.3f} ({side} {limit:.3f})")


def measure_quality(
    lines: dict[str, Line], runners: dict[str, Contestant], arguments: argparse.Namespace, features: Features
) -> list[Pair]:
    """Stylize and measure; return the pairs of the subset. With --output, write the results and a contact sheet."""
    contents, styles = (read_images(arguments.data / folder, (SIDE, SIDE)) for folder in ("photos", "paintings"))
    few = [spread_out(list(names), count) for names, count in zip((contents, styles), arguments.subset, strict=True)]
    subset = [(content, style) for content in few[0] for style in few[1]]
    pairs = [(content, style) for content in contents for style in styles]
    seen = {name: features(pixels) for name, pixels in styles.items()}
    columns = {"content": [contents[content] for content, _ in subset], "style": [styles[style] for _, style in subset]}
    for name, runner in runners.items():
        print(f"stylizing: {name}", file=sys.stderr)
        folder = arguments.output and arguments.output / name
        chosen = subset if name in CLASSIC else pairs
        results = stylize_all(runner, contents, styles, chosen, folder, arguments.reuse)
        for (content, style), result in results.items():
            lines[name].quality[content, style] = Quality.of(result, contents[content], seen[style], features)
        columns[name] = [results[pair] for pair in subset]
    if arguments.output:
        write_image(arguments.output / "contact_sheet.jpg", draw_sheet(columns))
    return subset


def draw_sheet(columns: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Return (H, W, 3) uint8 with a row for each pair and a column for each method, with captions."""
    from vision_app.core.labeled_boxes import LabeledBoxes
    from vision_app.training.contact_sheet import contact_sheet

    images = [image for row in zip(*columns.values(), strict=True) for image in row]
    plain = LabeledBoxes.empty()
    captions = list(columns) * (len(images) // len(columns))
    return contact_sheet(
        images, [plain] * len(images), (), captions=captions, columns=len(columns), side=TILE
    )  # fmt: skip


def measure_seconds(lines: dict[str, Line], runners: dict[str, Contestant], arguments: argparse.Namespace) -> None:
    """Time all methods at every size, VGG-19 only at the first one."""
    style = next(iter(read_images(arguments.data / "paintings", (SIDE, SIDE)).values()))
    clock = time.process_time if arguments.cpu else time.perf_counter
    methods = {name: runner.load() for name, runner in runners.items() if name not in CLASSIC}
    for size in arguments.sizes:
        print(f"timing at {size[0]}x{size[1]}", file=sys.stderr)
        content = next(iter(read_images(arguments.data / "photos", size).values()))
        works = {}
        for name, method in methods.items():
            works[name, "seconds"] = timed(partial(stylize, method, content, style), clock)
            works[name, "prepared"] = timed(partial(method.stylize, content, method.prepare(style)), clock)
        fill_in(lines, size, works, arguments.rounds)
        classics = {name: encoder for name, encoder in classic_encoders(arguments).items() if name in lines}
        if size != arguments.sizes[0]:
            classics.pop("vgg19", None)
        works = {
            (name, "seconds"): partial(Classic(encoder, arguments.threads).iterate, content, style, clock)
            for name, encoder in classics.items()
        }
        fill_in(lines, size, works, max(1, arguments.rounds // 3))


def fill_in(lines: dict[str, Line], size: Size, works: dict[tuple[str, str], Callable[[], float]], rounds: int) -> None:
    """Let works take turns and note the seconds of each in its line."""
    seconds = take_turns(list(works.values()), rounds) if works else np.empty((0, 0))
    for (name, kind), times in zip(works, seconds.T, strict=True):
        getattr(lines[name], kind)[size] = times


def classic_encoders(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {"optimize": arguments.encoder, "vgg19": None}


def measure_memory(lines: dict[str, Line], runners: dict[str, Contestant], arguments: argparse.Namespace) -> None:
    """Measure one image each; for the classic method, whose memory does not grow after it, one iteration."""
    classics = classic_encoders(arguments)
    for size in [*arguments.sizes, LARGE] if arguments.sizes else []:
        for name, line in lines.items():
            if (size == LARGE and name != "fast") or (name == "vgg19" and size != arguments.sizes[0]):
                continue
            print(f"memory at {size[0]}x{size[1]}: {name}", file=sys.stderr)
            if name in classics:
                load = partial(Classic, classics[name], arguments.threads)
                line.megabytes[size] = peak_megabytes(iterate_once, load, size, SIDE)
            else:
                line.megabytes[size] = peak_megabytes(stylize_once, runners[name].load, size, SIDE)


def size(text: str) -> Size:
    """Parse a size such as 1920x1080."""
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="with photos/ and paintings/")
    parser.add_argument("--teachers", type=Path, required=True, metavar="FOLDER", help="of other people's networks")
    parser.add_argument("--output", type=Path, metavar="DIR", help="for the results and a contact sheet of them")
    parser.add_argument("--reuse", action="store_true", help="measure results that are in --output already")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--sizes", nargs="*", type=size, default=[(512, 512), (1024, 1024), (1920, 1080)])
    parser.add_argument("--subset", nargs=2, type=int, default=(4, 4), metavar=("CONTENTS", "STYLES"))
    parser.add_argument("--model", default="style-fast", help="ours, by name or path")
    parser.add_argument("--encoder", default="style-encoder", help="of the classic method, by name or path")
    parser.add_argument("--iterations", type=int, help="of the classic method; default: its own number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="measure CPU seconds instead of wall-clock seconds")
    parser.add_argument("--rounds", type=int, default=9, help="of timing; a third as many for the classic method")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        if "micro-ast-onnx" in arguments.methods:
            write_micro_ast(arguments.teachers, Path(folder))
        available = contestants(
            arguments.teachers, Path(folder), model=arguments.model, encoder=arguments.encoder,
            iterations=arguments.iterations, threads=arguments.threads,
        )  # fmt: skip
        runners = {name: available[name] for name in arguments.methods if name in available}
        lines = {name: Line(runner.name, runner.runtime) for name, runner in runners.items()}
        if "vgg19" in arguments.methods:
            lines["vgg19"] = Line("optimize, VGG-19", "torch")
        subset = measure_quality(lines, runners, arguments, teacher_features(arguments.teachers))
        measure_memory(lines, runners, arguments)
        measure_seconds(lines, runners, arguments)
    print_table(list(lines.values()), arguments.sizes, subset)
    if arguments.sizes:
        print_verdicts(lines, arguments.sizes[0])


if __name__ == "__main__":
    main()
