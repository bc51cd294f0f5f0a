"""What a run's folder shows of the run: callbacks of `loop.fit`, each of which writes one kind of thing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vision_app.core.figures import new_figure, save_figure
from vision_app.core.images import write_image
from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.training.config import TrainConfig
from vision_app.training.contact_sheet import contact_sheet
from vision_app.training.diagnosis import PRECISION, TRAIN, VALIDATION, column, diagnose
from vision_app.training.runs import read_metrics

IMAGES = 16  # drawn of each of the first batches, at most
Row = Mapping[str, Any]  # of metrics.csv


class TensorBoard:
    """Every number of a run's rows, for `tensorboard --logdir RUN`."""

    def on_start(self, folder: Path, task: object, config: TrainConfig) -> None:
        """Open the log."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def on_epoch(self, folder: Path, row: Row) -> None:
        """Log a row."""
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name.replace(" ", "_"), value, row["epoch"])
        self._writer.flush()

    def on_end(self, folder: Path, rows: Sequence[Row]) -> None:
        """Close the log."""
        self._writer.close()


class Curves:
    """curves.png, drawn again after every epoch from metrics.csv."""

    def on_epoch(self, folder: Path, row: Row) -> None:
        """Draw the curves."""
        plot_curves(read_metrics(folder), folder / "curves.png")


class FirstBatches:
    """batch-1.png and so on: the first batches as the network gets them, augmented, with their targets."""

    def __init__(self, classes: Sequence[str]):
        self._classes = classes

    def on_batch(self, folder: Path, step: int, images: Tensor, targets: Sequence[LabeledBoxes]) -> None:
        """Draw a batch."""
        sheet = contact_sheet(images[:IMAGES].cpu(), targets[:IMAGES], self._classes)
        write_image(folder / f"batch-{step + 1}.png", sheet)


class Predictions:
    """predictions.png: ground truth and predictions side by side on a few images, after each validation.

    Args:
        images: (H, W, 3) uint8 each.
        ground_truth: Boxes of each image.
        classes: Names of the labels.
        predict: From a model folder and images to the boxes that the model finds.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        ground_truth: Sequence[LabeledBoxes],
        classes: Sequence[str],
        predict: Callable[[Path, Sequence[np.ndarray]], Sequence[LabeledBoxes]],
    ):
        self._images, self._ground_truth, self._classes, self._predict = images, ground_truth, classes, predict

    def on_epoch(self, folder: Path, row: Row) -> None:
        """Draw the predictions of the last network, if it was validated."""
        if any(name.endswith(PRECISION) for name in row):
            self._draw(folder, "last")

    def on_end(self, folder: Path, rows: Sequence[Row]) -> None:
        """Draw the predictions of the best network."""
        self._draw(folder, "best")

    def _draw(self, folder: Path, model: str) -> None:
        found = self._predict(folder / model, self._images)
        pairs = [each for pair in zip(self._ground_truth, found, strict=True) for each in pair]
        images = [image for image in self._images for _ in range(2)]
        captions = ["ground truth", f"predicted by {model}"] * len(self._images)
        write_image(folder / "predictions.png", contact_sheet(images, pairs, self._classes, captions=captions))


class Verdict:
    """The last line: underfitting, overfitting, both or neither, and what to try.

    Args:
        log: Takes the line.
        pretrained: Whether training starts from trained weights.
        close_epochs: Number of last epochs, in which images are augmented less.
    """

    def __init__(self, log: Callable[[str], None], *, pretrained: bool, close_epochs: int):
        self._log, self._pretrained, self._close_epochs = log, pretrained, close_epochs

    def on_start(self, folder: Path, task: object, config: TrainConfig) -> None:
        """Note when augmentation will become less."""
        self._plain_from = config.epochs - self._close_epochs + 1

    def on_end(self, folder: Path, rows: Sequence[Row]) -> None:
        """Log the line."""
        self._log(diagnose(rows, pretrained=self._pretrained, plain_from=self._plain_from).sentence)


def plot_curves(rows: Sequence[Row], path: Path) -> None:
    """Plot loss, average precision and learning rate over the epochs of a run, whose rows are in order, as PNG."""
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
