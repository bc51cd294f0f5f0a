"""What `vision-app style` does with each content and style; see `vision_app.batch.run.Task`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from vision_app.batch.sinks import ImageFolder
from vision_app.batch.sources import Input, Names
from vision_app.core.errors import DataError, UsageError
from vision_app.core.images import MAX_PIXELS, RGBImage
from vision_app.core.interrupt import Interrupt
from vision_app.style.options import StyleOptions
from vision_app.style.results import Progress, Stop, Stylized
from vision_app.style.stylizer import SAMPLE, Prepared, Stylizer


@dataclass(frozen=True, slots=True)
class Job(Input):
    """A content and the styles that it is to be painted in; it gets one picture and one row.

    Attributes:
        styles: one, or those to be mixed.
    """

    styles: Prepared = field(kw_only=True)


def list_jobs(inputs: Iterable[Input], styles: Sequence[Prepared]) -> list[Job]:
    """Every content in every style, contents in their order; each job has a name of its own, CONTENT__STYLE."""
    claim = Names().claim
    labels = ["+".join(Path(name.removeprefix(SAMPLE)).name for name in prepared.names) for prepared in styles]
    return [
        Job(item.file, claim(f"{item.name}__{label}"), item.problem, styles=prepared)
        for item in inputs
        for label, prepared in zip(labels, styles, strict=True)
    ]


class StyleTask:
    """Paints contents and writes the pictures.

    Args:
        stylizer: by which method.
        options: how.
        pictures: takes the results.
        state: file with which "optimize" goes on inside a picture after a break.
        previews: takes the picture that "optimize" has so far, after every `preview_every` steps; None for none.
        interrupt: tells when "optimize" is to break off.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        options: StyleOptions,
        pictures: ImageFolder,
        *,
        max_pixels: int = MAX_PIXELS,
        state: Path | None = None,
        previews: ImageFolder | None = None,
        preview_every: int = 1,
        interrupt: Interrupt | None = None,
    ):
        self.stylizer, self.options = stylizer, options
        self.pictures, self.max_pixels = pictures, max_pixels
        self.state, self.interrupt = state, interrupt
        self.previews, self.preview_every = previews, preview_every
        self._step: Callable[[str], None] = lambda text: None
        # ImageFolder take turns: each one gets all cores, and no more memory is needed than one takes.
        self._turn = Lock()

    def watch(self, step: Callable[[str], None]) -> None:
        """Takes the function that shows how far a picture is."""
        self._step = step

    def read(self, item: Job) -> RGBImage:
        """Decode one content."""
        return self.stylizer.read(item.file, self.options, max_pixels=self.max_pixels)

    def predict(self, items: Sequence[Job], images: list[RGBImage]) -> list[Stylized]:
        """Paint each content."""
        with self._turn:
            return [self._paint(item, image) for item, image in zip(items, images, strict=True)]

    def save(self, item: Job, image: RGBImage, result: Stylized) -> None:
        """Write the picture."""
        self.pictures.write(item.name, result.pixels)

    def row(self, item: Job, result: Stylized | None) -> dict:
        """Return the keys `picture`, the file of the result in the folder, and those of `Stylized.to_dict`."""
        if result is not None:
            return {"picture": item.name + self.pictures.suffix, **result.to_dict()}
        nothing = dict.fromkeys(("picture", "width", "height"))
        known = {"styles": list(item.styles.names), "method": self.stylizer.method, "model": self.stylizer.name}
        return nothing | known | {"iterations": None, "cost": None, "stopped": False, "notes": []}

    def _paint(self, item: Job, image: RGBImage) -> Stylized:
        """Paints one content.

        Raises:
            KeyboardInterrupt: it was broken off; its state is kept.
        """
        if self.interrupt is not None and self.interrupt.asked:
            raise KeyboardInterrupt  # before the state of the one that was broken off is written over
        going_on = self.state is not None and self.state.exists()
        call = (image, item.styles, self.options)
        report = None if self.interrupt is None else self._report(item)
        try:
            result = self.stylizer(*call, report=report, state=self.state)
        except (DataError, UsageError):
            if not going_on:
                raise
            self.state.unlink()  # a content was replaced since the break, so there is nothing to go on with
            result = self.stylizer(*call, report=report, state=self.state)
        if result.stopped:
            raise KeyboardInterrupt
        return result

    def _report(self, item: Job) -> Callable[[Progress], None]:
        """Returns what "optimize" is to call after every step."""

        def report(now: Progress) -> None:
            width, height = now.size
            where = f"{item.name}: iteration {now.iteration} of {now.total} at {width} x {height}"
            self._step(f"{where}, cost {now.cost:.4g}")
            if self.previews is not None and now.iteration % self.preview_every == 0:
                self.previews.write(f"{item.name}/{now.iteration:05}", now.preview())
            if self.interrupt.asked:
                raise Stop

        return report
