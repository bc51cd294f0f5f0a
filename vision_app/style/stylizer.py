"""`Stylizer`: what the three methods share, and the one that transfers colors alone. NumPy and OpenCV.

The other methods are in `fast` and `optimize`; `load` knows them all.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vision_app.core.errors import UsageError
from vision_app.core.flags import flag
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.core.several import several
from vision_app.released.find import Model, digest
from vision_app.style import checks, color
from vision_app.style.options import StyleOptions
from vision_app.style.results import CostRow, Report, Stylized
from vision_app.style.samples.samples import sample

SAMPLE = "sample:"  # prefix of the names of the sample styles
STYLE_SIZE = 512


@dataclass(frozen=True, eq=False)
class PreparedStyles:
    """Styles that are prepared once and used for many contents.

    Attributes:
        names: Names of the styles.
        pixels: (H, W, 3) uint8 RGB of each, scaled.
        codes: (S, K) float32, by which a fast network knows each style, or None.
        notes: What is unusual about them.
        size: The long side, in pixels, that they were scaled down to where theirs is longer; None: not scaled.
        prepared_for: Method, and digest of its released models.
    """

    names: tuple[str, ...]
    pixels: tuple[np.ndarray, ...]
    codes: np.ndarray | None
    notes: tuple[str, ...]
    size: int | None
    prepared_for: tuple[str, str]

    @property
    def labels(self) -> list[str]:
        """Each name with a digest of its pixels."""
        digests = [hashlib.sha256(repr(p.shape).encode() + p.tobytes()).hexdigest() for p in self.pixels]
        return [f"{name} {digest[:12]}" for name, digest in zip(self.names, digests, strict=True)]


@dataclass(frozen=True, eq=False)
class Request:
    """What a method is asked for.

    Attributes:
        content: (H, W, 3) uint8 RGB, of the size of the result.
        styles: Prepared for this method.
        shares: Weights of the styles, with a sum of 1.
        options: With a strength above 0.
        report, state: See `Stylizer.__call__`.
    """

    content: np.ndarray
    styles: PreparedStyles
    shares: tuple[float, ...]
    options: StyleOptions
    report: Report | None
    state: Path | None


@dataclass(frozen=True, eq=False)
class Output:
    """What a method makes of a content.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, of the content's size.
        costs: For "optimize": one row for each iteration.
        stopped: Whether a report ended "optimize" early.
    """

    pixels: np.ndarray
    costs: tuple[CostRow, ...] = ()
    stopped: bool = False


Styles = ImageSource | Iterable[ImageSource]


class Stylizer:
    """Renders images in the style of others.

    >>> Stylizer.load("fast")("photo.jpg", "painting.jpg", strength=0.8)

    Attributes:
        method: A name in `METHODS`.
        name: Name of the network, or None where there is none.
        runtime: "onnx" or "torch", or None.
        device: "cpu", "cuda" or "cuda:N".
        models: The released models that results depend on.
        style_size: Default of `StyleOptions.style_size`.
        longest_side: Maximum long side of results where no size is asked for, in pixels, or None.
    """

    method: str
    name: str | None = None
    runtime: str | None = None
    device: str = "cpu"
    models: tuple[Model, ...] = ()
    style_size: int | None = STYLE_SIZE
    longest_side: int | None = None
    load: ClassVar[Callable[..., "Stylizer"]]  # `load.load_stylizer`, which knows all methods

    def digest(self, options: StyleOptions) -> str:
        """Return a digest of every network that decides the results."""
        return digest(*self.models)

    def read(self, source: ImageSource, options: StyleOptions = StyleOptions(), **more: Any) -> RGBImage:
        """Read a content at the resolution that the options need; more options and errors are `read_image`'s."""
        return read_image(source, target=options.size or self.longest_side, **more)

    def prepare(self, styles: Styles, options: StyleOptions = StyleOptions()) -> PreparedStyles:
        """Prepare styles for any number of contents.

        Args:
            styles: One or several of path, bytes, file object, array, `RGBImage` or "sample:NAME", a name in
                `samples.SAMPLES`.
            options: Gives `style_size`.

        Raises:
            ImageError: One of them cannot be read or used as a style.
            UsageError: There is no such sample, or no style at all.
        """
        sources = tuple(several(styles))
        if not sources:
            raise UsageError(f"{flag('style')}: at least one is needed")
        size = options.style_size or self.style_size
        names = tuple(map(name_of, sources))
        pixels = tuple(_read_style(source, name, size) for source, name in zip(sources, names, strict=True))
        notes = [note for name, one in zip(names, pixels, strict=True) for note in checks.style_notes(name, one)]
        return PreparedStyles(names, pixels, self._encode(pixels), tuple(notes), size, self._identity)

    def __call__(
        self,
        content: ImageSource,
        styles: Styles | PreparedStyles,
        options: StyleOptions = StyleOptions(),
        *,
        report: Report | None = None,
        state: Path | None = None,
        **changes: Any,
    ) -> Stylized:
        """Stylize an image.

        Args:
            content: Path, bytes, file object, array or `RGBImage`.
            styles: See `prepare`, or its result. Several are mixed in one image.
            options: How to stylize.
            report: For "optimize": called after every iteration, can stop it early.
            state: For "optimize": the checkpoint file from which it resumes after an interruption.
            **changes: Fields of `StyleOptions` by name, e.g. `strength=0.5`.

        Raises:
            ImageError: An image cannot be read, or is too small or too long.
            UsageError: An option is unknown, out of range or of another method, or the styles were prepared for
                something else.
        """
        options = options.changed(changes)
        options.check_method(self.method)
        if isinstance(styles, PreparedStyles):
            self._check(styles, options)
        else:
            styles = self.prepare(styles, options)
        shares = options.shares(len(styles.names))
        name = name_of(content)
        image = self.read(content, options)
        too_long = self.longest_side is not None and max(image.width, image.height) > self.longest_side
        size = options.size or (self.longest_side if too_long else None)
        shape = checks.scaled_shape(image.width, image.height, size, name)
        pixels = checks.scaled(image.pixels, shape)
        alpha = None if image.alpha is None else checks.scaled(image.alpha, shape)
        if alpha is not None:
            pixels = color.without_white(pixels, alpha)
        notes = [*checks.content_notes(pixels), *styles.notes]
        if options.size is None and shape != (image.height, image.width):
            notes.insert(0, f"scaled down from {image.width} x {image.height} pixels")
        output = Output(pixels)
        if options.strength > 0:
            output = self._stylize(Request(pixels, styles, shares, options, report, state))
        result = output.pixels
        if options.keep_colors != "no":
            keep = color.keep_luminance if options.keep_colors == "luminance" else color.match_histogram
            result = keep(pixels, result)
        notes += checks.result_notes(pixels, result)
        if alpha is not None:
            result = np.dstack([result, alpha])
        return Stylized(
            result, name, styles.names, self.method, self.name, tuple(notes),
            len(output.costs) or None, output.costs[-1][0] if output.costs else None, output.stopped,
        )  # fmt: skip

    @property
    def _identity(self) -> tuple[str, str]:
        """See `PreparedStyles.prepared_for`."""
        return self.method, digest(*self.models)

    def _check(self, styles: PreparedStyles, options: StyleOptions) -> None:
        """Raise UsageError where styles were prepared for something else."""
        if styles.prepared_for != self._identity:
            method, _ = styles.prepared_for
            whose = f"{flag('method')} {method}" if method != self.method else "another model"
            raise UsageError(f"{flag('style')}: these styles were prepared for {whose}; let this stylizer prepare them")
        if options.style_size not in (None, styles.size):
            reason = f"these styles were prepared at {styles.size or 'their own size'}; give it to prepare"
            raise UsageError(f"{flag('style_size')} {options.style_size}: {reason}")

    def _encode(self, styles: Sequence[np.ndarray]) -> np.ndarray | None:
        """Return the codes of styles, see `PreparedStyles`."""
        return None

    def _stylize(self, request: Request) -> Output:
        """Stylize an image at its size."""
        raise NotImplementedError


class ColorStylizer(Stylizer):
    """Gives a photo the colors of a style, and nothing else."""

    method = "color"

    def _stylize(self, request: Request) -> Output:
        strength = request.options.strength
        return Output(color.transfer_mixed(request.content, request.styles.pixels, request.shares, strength))


def name_of(source: ImageSource) -> str:
    """Return the name of an image: its path as given, "sample:NAME", or the name of an open file."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    return str(getattr(source, "name", "<picture>"))


def _read_style(source: ImageSource, name: str, size: int | None) -> np.ndarray:
    """Read the image of a style, (H, W, 3) uint8, its long side scaled down to `size` if it is longer."""
    if isinstance(source, str) and source.startswith(SAMPLE):
        source = sample(source.removeprefix(SAMPLE))
    image = read_image(source, target=size)
    smaller = None if size is None else min(size, max(image.width, image.height))
    shape = checks.scaled_shape(image.width, image.height, smaller, name, "style_size")
    return checks.scaled(image.pixels, shape)
