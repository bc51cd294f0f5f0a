"""`vision-app style` as a task over many images; see `vision_app.batch.run.Task`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from vision_app.batch.sinks import ImageFolder
from vision_app.batch.sources import Input, Names
from vision_app.core.errors import DataError, UsageError
from vision_app.core.images import RGBImage
from vision_app.core.interrupt import Interrupt
from vision_app.core.limits import ReadLimits
from vision_app.style.options import StyleOptions
from vision_app.style.results import Progress, Report, Stylized
from vision_app.style.stylizer import SAMPLE, PreparedStyles, Stylizer


@dataclass(frozen=True, slots=True)
class StyleInput(Input):
    """A content and the styles that it gets; one image and one row come of it.

    Attributes:
        styles: One, or those to be mixed.
    """

    styles: PreparedStyles = field(kw_only=True)


def pair_inputs(contents: Iterable[Input], styles: Sequence[PreparedStyles]) -> list[StyleInput]:
    """Return every content in every style, contents in their order, each under a name of its own, CONTENT__STYLE."""
    claim = Names(".png").claim
    labels = ["+".join(Path(name.removeprefix(SAMPLE)).name for name in prepared.names) for prepared in styles]
    return [
        StyleInput(item.file, claim(f"{item.name}__{label}"), item.problem, styles=prepared)
        for item in contents
        for label, prepared in zip(labels, styles, strict=True)
    ]


@dataclass(eq=False)
class StyleTask:
    """Stylizes contents and writes the images.

    Attributes:
        stylizer: The method.
        options: How to stylize.
        output: Writes the results.
        limits: See `read_image`.
        state: Checkpoint file from which "optimize" resumes inside an image.
        previews: Writes the current image of "optimize" after every `preview_every` iterations; None: not written.
        preview_every: Iterations between two previews.
        interrupt: Tells when "optimize" is to be interrupted.
    """

    stylizer: Stylizer
    options: StyleOptions
    output: ImageFolder
    limits: ReadLimits = field(default=ReadLimits(), kw_only=True)
    state: Path | None = field(default=None, kw_only=True)
    previews: ImageFolder | None = field(default=None, kw_only=True)
    preview_every: int = field(default=1, kw_only=True)
    interrupt: Interrupt | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._show: Callable[[str], None] = lambda text: None
        # Images take turns: each one gets all cores, and no more memory is needed than for one.
        self._turn = Lock()

    def watch(self, show: Callable[[str], None]) -> None:
        """Set the function that shows the progress of an image."""
        self._show = show

    def read(self, item: StyleInput) -> RGBImage:
        """Decode one content."""
        return self.stylizer.read(
            item.file, self.options, max_pixels=self.limits.max_pixels, max_bytes=self.limits.max_bytes
        )

    def predict(self, items: Sequence[StyleInput], images: list[RGBImage]) -> list[Stylized]:
        """Stylize each content."""
        with self._turn:
            return [self._stylize(item, image) for item, image in zip(items, images, strict=True)]

    def save(self, item: StyleInput, image: RGBImage, result: Stylized) -> None:
        """Write the image; an input fails without it."""
        self.output.write(item.name, result.pixels)

    def row(self, item: StyleInput, result: Stylized | None) -> dict[str, Any]:
        """Return the keys `picture`, the file of the result in the folder, and those of `Stylized.to_dict`."""
        if result is not None:
            return {"picture": item.name + self.output.suffix, **result.to_dict()}
        nothing = dict.fromkeys(("picture", "width", "height"))
        known = {"styles": list(item.styles.names), "method": self.stylizer.method, "model": self.stylizer.name}
        return nothing | known | {"iterations": None, "cost": None, "stopped": False, "notes": []}

    def _stylize(self, item: StyleInput, image: RGBImage) -> Stylized:
        """Stylize one content.

        Raises:
            KeyboardInterrupt: It was interrupted; its state is kept.
        """
        if self.interrupt is not None and self.interrupt.asked:
            raise KeyboardInterrupt  # before the state of the interrupted image is overwritten
        resumes = self.state is not None and self.state.exists()
        report = self._report(item, self.interrupt) if self.interrupt else None
        try:
            result = self.stylizer(image, item.styles, self.options, report=report, state=self.state)
        except (DataError, UsageError):
            if self.state is None or not resumes:
                raise
            self.state.unlink()  # a content was replaced since the interruption, so there is nothing to resume
            result = self.stylizer(image, item.styles, self.options, report=report, state=self.state)
        if result.stopped:
            raise KeyboardInterrupt
        return result

    def _report(self, item: StyleInput, interrupt: Interrupt) -> Report:
        """Return the function that "optimize" calls after every iteration."""

        def report(now: Progress) -> bool:
            width, height = now.size
            where = f"{item.name}: iteration {now.iteration} of {now.total} at {width} x {height}"
            self._show(f"{where}, cost {now.cost:.4g}")
            if self.previews is not None and now.iteration % self.preview_every == 0:
                self.previews.write(f"{item.name}/{now.iteration:05}", now.preview())
            return interrupt.asked

        return report
