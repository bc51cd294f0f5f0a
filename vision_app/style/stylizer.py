"""`Stylizer`: repaints pictures in the style of others. What the three methods share, and the one that moves colors.

The others are in `fast` and `optimize`; `load` knows them all. NumPy and OpenCV.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vision_app.core.errors import UsageError
from vision_app.core.images import ImageSource, RGBImage, read_image
from vision_app.released.find import Model, digest
from vision_app.style import checks, color
from vision_app.style.options import StyleOptions
from vision_app.style.results import Stylized

SAMPLE = "sample:"  # in front of the name of one of our own styles
STYLE_SIZE = 512


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is worked out once of styles and used for many contents.

    Attributes:
        names: what the styles are called.
        pixels: (H, W, 3) uint8 RGB of each, scaled.
        codes: (S, K) float32 that tell a fast network of each, or None.
        notes: what is odd about them.
        size: the long side, in pixels, that they were scaled down to where theirs is longer; None leaves them.
        maker: for what they were prepared: a method and a digest of its released models.
    """

    names: tuple[str, ...]
    pixels: tuple[np.ndarray, ...]
    codes: np.ndarray | None
    notes: tuple[str, ...]
    size: int | None
    maker: tuple[str, str]

    @property
    def labels(self) -> list[str]:
        """Each name with a digest of the pixels behind it."""
        digests = [hashlib.sha256(repr(p.shape).encode() + p.tobytes()).hexdigest() for p in self.pixels]
        return [f"{name} {digest[:12]}" for name, digest in zip(self.names, digests, strict=True)]


@dataclass(frozen=True, eq=False)
class Painted:
    """What a method gives: (H, W, 3) uint8 pixels, and fields of `Stylized` that it alone knows."""

    pixels: np.ndarray
    about: dict[str, Any]


class Stylizer:
    """Repaints pictures in the style of others.

    >>> Stylizer.load("fast")("photo.jpg", "painting.jpg", strength=0.8)

    Attributes:
        method: a name in `METHODS`.
        name: of the network, or None where there is none.
        runtime: "onnx" or "torch", or None.
        device: "cpu", "cuda" or "cuda:N".
        models: the released models that results depend on.
    """

    method: str
    name: str | None = None
    runtime: str | None = None
    device: str = "cpu"
    models: tuple[Model, ...] = ()
    style_size: int | None = STYLE_SIZE  # see `StyleOptions.style_size`
    longest_side: int | None = None  # of results where no size is asked for
    load: ClassVar[Callable[..., "Stylizer"]]  # `load.load_stylizer`, which knows all methods

    def digest(self, options: StyleOptions) -> str:
        """Of every network that decides the results."""
        return digest(*self.models)

    def check(self, options: StyleOptions) -> None:
        """Refuses options that this method cannot use; raises UsageError."""
        options.check_method(self.method)

    def read(self, source: ImageSource, options: StyleOptions = StyleOptions(), **more) -> RGBImage:
        """Reads a content at the resolution that the options need; more options and errors are `read_image`'s."""
        return read_image(source, target=options.size or self.longest_side, **more)

    def prepare(self, styles: ImageSource | Sequence[ImageSource], options: StyleOptions = StyleOptions()) -> Prepared:
        """Works out once what is needed of styles for any number of contents.

        Args:
            styles: one or several of path, bytes, file object, array, `RGBImage` or "sample:NAME", a name in
                `samples.SAMPLES`.
            options: `style_size` counts here.

        Raises:
            ImageError: one of them cannot be read, or be a style.
            UsageError: there is no such sample, or no style at all.
        """
        sources = styles if isinstance(styles, list | tuple) else [styles]
        if not sources:
            raise UsageError("--style: at least one is needed")
        size = options.style_size or self.style_size
        names = tuple(map(name_of, sources))
        pixels = tuple(_style(source, name, size) for source, name in zip(sources, names, strict=True))
        notes = [note for name, one in zip(names, pixels, strict=True) for note in checks.style_notes(name, one)]
        return Prepared(names, pixels, self._codes(pixels), tuple(notes), size, self._maker)

    def __call__(
        self,
        content: ImageSource,
        styles: ImageSource | Sequence[ImageSource] | Prepared,
        options: StyleOptions = StyleOptions(),
        *,
        report: Callable | None = None,
        state: Path | None = None,
        **changes,
    ) -> Stylized:
        """Repaints a picture.

        Args:
            content: path, bytes, file object, array or `RGBImage`.
            styles: see `prepare`, or what it gave. Several are mixed in one picture.
            options: how.
            report: for "optimize", called with `optimize.Progress` after every step; `optimize.Stop` ends it early.
            state: for "optimize", the file from which it goes on after a break.
            **changes: fields of `StyleOptions` by name, e.g. `strength=0.5`.

        Raises:
            ImageError: a picture cannot be read, or is too small or too long.
            UsageError: an option is unknown, out of range or of another method, or the styles were prepared otherwise.
        """
        options = options.changed(changes)
        self.check(options)
        prepared = self._checked(styles, options) if isinstance(styles, Prepared) else self.prepare(styles, options)
        shares = options.shares(len(prepared.names))
        name = name_of(content)
        image = self.read(content, options)
        shape = checks.scaled_shape(image.width, image.height, self._size(image, options), name)
        pixels = checks.scaled(image.pixels, shape)
        notes = [*checks.content_notes(pixels), *prepared.notes]
        if options.size is None and pixels.shape[1::-1] != (image.width, image.height):
            notes.insert(0, f"scaled down from {image.width} x {image.height} pixels")
        if options.strength == 0:
            painted = Painted(pixels, {})
        else:
            painted = self._paint(pixels, prepared, shares, options, report, state)
        result = painted.pixels
        if options.keep_colors != "no":
            result = _with_colors_of(pixels, result, options.keep_colors)
        notes += checks.result_notes(pixels, result)
        return Stylized(result, name, prepared.names, self.method, self.name, tuple(notes), **painted.about)

    @property
    def _maker(self) -> tuple[str, str]:
        """See `Prepared`."""
        return self.method, digest(*self.models)

    def _checked(self, styles: Prepared, options: StyleOptions) -> Prepared:
        """The same styles; raises UsageError where they were prepared for something else."""
        if styles.maker != self._maker:
            whose = f"--method {styles.maker[0]}" if styles.maker[0] != self.method else "another model"
            raise UsageError(f"--style: these styles were prepared for {whose}; let this stylizer prepare them")
        if options.style_size not in (None, styles.size):
            reason = f"these styles were prepared at {styles.size or 'their own size'}; give it to prepare"
            raise UsageError(f"--style-size {options.style_size}: {reason}")
        return styles

    def _size(self, image: RGBImage, options: StyleOptions) -> int | None:
        """The long side of the result, None for the content's."""
        too_long = self.longest_side is not None and max(image.width, image.height) > self.longest_side
        return options.size or (self.longest_side if too_long else None)

    def _codes(self, styles: Sequence[np.ndarray]) -> np.ndarray | None:
        """See `Prepared`."""

    def _paint(
        self,
        content: np.ndarray,
        styles: Prepared,
        shares: tuple[float, ...],
        options: StyleOptions,
        report: Callable | None,
        state: Path | None,
    ) -> Painted:
        """Repaints a picture, (H, W, 3) uint8, at its size; `shares` are the styles' parts of it, `strength` over 0."""
        raise NotImplementedError


class ColorStylizer(Stylizer):
    """Gives a photo the colors of a style, and nothing else."""

    method = "color"

    def _paint(self, content, styles, shares, options, report, state) -> Painted:
        if len(styles.pixels) == 1:
            return Painted(color.transfer(content, styles.pixels[0], options.strength), {})
        mixed = np.zeros(content.shape, np.float32)
        for share, style in zip(shares, styles.pixels, strict=True):
            mixed += np.float32(share) * color.transfer(content, style, options.strength)
        return Painted(np.uint8(np.rint(mixed)), {})


def name_of(source: ImageSource) -> str:
    """What a picture is called: its path as given, "sample:NAME", or the name of an open file."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    return str(getattr(source, "name", "<picture>"))


def _style(source: ImageSource, name: str, size: int | None) -> np.ndarray:
    """Reads the picture of a style, (H, W, 3) uint8, its long side scaled down to `size` if it is longer."""
    if isinstance(source, str) and source.startswith(SAMPLE):
        from vision_app.style.samples.samples import sample

        source = sample(source.removeprefix(SAMPLE))
    image = read_image(source, target=size)
    smaller = None if size is None else min(size, max(image.width, image.height))
    shape = checks.scaled_shape(image.width, image.height, smaller, name, "--style-size")
    return checks.scaled(image.pixels, shape)


def _with_colors_of(content: np.ndarray, painted: np.ndarray, keep: str) -> np.ndarray:
    """A result with the content's colors; `keep` says how, see `StyleOptions`."""
    if keep == "luminance":
        return color.keep_luminance(content, painted)
    return color.match_histogram(content, painted)
