"""What a run's folder shows of the run. Each class here watches `loop.fit` and writes one kind of thing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vision_app.core.figures import new_figure, save_figure
from vision_app.core.images import write_image
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.training.contact_sheet import contact_sheet
from vision_app.training.diagnosis import PRECISION, TRAIN, VALIDATION, column, diagnose
from vision_app.training.runs import read_metrics

PICTURES = 16  # drawn of each of the first batches, at most
PREDICT = Callable[[Path, Sequence[np.ndarray]], Sequence[LabeledBoxes]]


class TensorBoard:
    """Every number of a run's rows, for `tensorboard --logdir RUN`."""

    def on_start(self, folder: Path, task, config) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def on_epoch(self, row: Mapping) -> None:
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name.replace(" ", "_"), value, row["epoch"])
        self._writer.flush()

    def on_end(self, folder: Path, rows: Sequence[Mapping]) -> None:
        self._writer.close()


class Curves:
    """curves.png, drawn again after every epoch from metrics.csv."""

    def on_start(self, folder: Path, task, config) -> None:
        self._folder = folder

    def on_epoch(self, row: Mapping) -> None:
        plot_curves(read_metrics(self._folder), self._folder / "curves.png")


class FirstBatches:
    """batch-1.png and so on: the first batches as the network gets them, augmented, with their targets."""

    def __init__(self, classes: Sequence[str]):
        self._classes = classes

    def on_start(self, folder: Path, task, config) -> None:
        self._folder = folder

    def on_batch(self, step: int, images, targets) -> None:
        sheet = contact_sheet(images[:PICTURES].cpu(), targets[:PICTURES], self._classes)
        write_image(self._folder / f"batch-{step + 1}.png", sheet)


class Predictions:
    """predictions.png: truth and predictions side by side on a few pictures, each time that a network was measured.

    Args:
        pictures: (H, W, 3) uint8 each.
        truth: what is true of each.
        classes: names of the labels.
        predict: from a model folder and pictures to what the model finds.
    """

    def __init__(
        self, pictures: Sequence[np.ndarray], truth: Sequence[LabeledBoxes], classes: Sequence[str], predict: PREDICT
    ):
        self._pictures, self._truth, self._classes, self._predict = pictures, truth, classes, predict

    def on_start(self, folder: Path, task, config) -> None:
        self._folder = folder

    def on_epoch(self, row: Mapping) -> None:
        if any(name.endswith(PRECISION) for name in row):
            self._draw(self._folder / "last")

    def on_end(self, folder: Path, rows: Sequence[Mapping]) -> None:
        self._draw(folder / "best")

    def _draw(self, model: Path) -> None:
        found = self._predict(model, self._pictures)
        pairs = [each for pair in zip(self._truth, found, strict=True) for each in pair]
        pictures = [picture for picture in self._pictures for _ in range(2)]
        captions = ["truth", f"found by {model.name}"] * len(self._pictures)
        sheet = contact_sheet(pictures, pairs, self._classes, captions=captions)
        write_image(self._folder / "predictions.png", sheet)


class Verdict:
    """The last line: underfitting, overfitting, both or neither, and what to try.

    Args:
        log: takes the line.
        pretrained: whether training starts from trained weights.
        close_epochs: the last ones, in which photos are augmented less.
    """

    def __init__(self, log: Callable[[str], None], *, pretrained: bool, close_epochs: int):
        self._log, self._pretrained, self._close_epochs = log, pretrained, close_epochs

    def on_start(self, folder: Path, task, config) -> None:
        self._plain_from = config.epochs - self._close_epochs + 1

    def on_end(self, folder: Path, rows: Sequence[Mapping]) -> None:
        self._log(diagnose(rows, pretrained=self._pretrained, plain_from=self._plain_from).sentence)


def plot_curves(rows: Sequence[Mapping], path: Path) -> None:
    """Draws loss, average precision and learning rate over the epochs as a PNG file.

    Args:
        rows: of metrics.csv, in order.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    precisions = [name for name in names if name.endswith((PRECISION, f"{PRECISION}50"))]
    panels = {
        "loss": {TRAIN: "training", VALIDATION: "validation"},
        "average precision": {name: name for name in precisions},
        "learning rate": {"learning_rate": ""},
    }
    panels = {title: lines for title, lines in panels.items() if any(column(rows, name)[0] for name in lines)}
    figure = new_figure(480 * len(panels), 420)
    row = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        for name, label in lines.items():
            epochs, values = column(rows, name)
            if epochs:
                axes.plot(epochs, values, marker="." if len(epochs) < 50 else "", label=label)
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if any(lines.values()):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
    save_figure(figure, path)
