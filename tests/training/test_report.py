"""What callbacks leave in a run's folder, called as the loop calls them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from labeled import boxes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vision_app.core.draw import label_color
from vision_app.core.images import read_image
from vision_app.training.config import TrainConfig
from vision_app.training.report import IMAGES, Curves, FirstBatches, Predictions, TensorBoard, Verdict

pytestmark = pytest.mark.slow

CLASSES = ("cat", "dog")
ROWS = [
    {"epoch": 1, "learning_rate": 0.1, "loss": 4.0},
    {"epoch": 2, "learning_rate": 0.05, "loss": 2.0, "validation_loss": 2.5, "voc val AP": 0.25, "voc val AP50": 0.5},
]


def as_written(folder, rows=ROWS):
    """Writes metrics.csv as the loop does before it tells its callbacks; returns the rows as they stand there."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = [{name: str(row.get(name, "")) for name in columns} for row in rows]
    (folder / "metrics.csv").write_text("\n".join([",".join(columns), *(",".join(row.values()) for row in text)]))
    return text


def color_of(label, image, at):
    return (image[at] == label_color(label)).all()


def test_tensorboard_gets_every_number_of_every_epoch(tmp_path):
    board = TensorBoard()
    board.on_start(tmp_path, None, None)
    for row in ROWS:
        board.on_epoch(tmp_path, row)
    board.on_end(tmp_path, [])
    (file,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(file)).Reload()
    found = {
        tag: [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert found == {
        "learning_rate": [(1, 0.1), (2, 0.05)], "loss": [(1, 4.0), (2, 2.0)], "validation_loss": [(2, 2.5)],
        "voc_val_AP": [(2, 0.25)], "voc_val_AP50": [(2, 0.5)],
    }  # fmt: skip


def test_a_report_prints_nothing_reaches_for_no_network_and_writes_nothing_elsewhere(tmp_path):
    program = (
        "import socket, sys\nfrom pathlib import Path\n"
        "def refuse(*words, **more): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from vision_app.training.report import Curves, TensorBoard\n"
        "folder, row = Path(sys.argv[1]), {'epoch': 1, 'loss': 2.0}\n"
        "(folder / 'metrics.csv').write_text('epoch,loss\\n1,2.0\\n')\n"
        "board = TensorBoard()\n"
        "board.on_start(folder, None, None)\n"
        "for callback in (board, Curves()):\n"
        "    callback.on_epoch(folder, row)\n"
    )
    home, run = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    run.mkdir()
    hidden = {name: str(home) for name in ("HOME", "TMPDIR")}
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"} | hidden
    command = [sys.executable, "-c", program, str(run)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in run.iterdir()) == ["curves.png", "metrics.csv", "tensorboard"]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_curves_grow_with_the_run(tmp_path):
    curves = Curves()
    as_written(tmp_path, ROWS[:1])
    curves.on_epoch(tmp_path, ROWS[0])
    narrow = read_image(tmp_path / "curves.png")
    as_written(tmp_path)
    curves.on_epoch(tmp_path, ROWS[1])
    wide, again = read_image(tmp_path / "curves.png"), (tmp_path / "curves.png").read_bytes()
    assert narrow.width == 2 * 480 and wide.width == 3 * 480  # precision has a panel as soon as there is one
    curves.on_epoch(tmp_path, ROWS[1])
    assert (tmp_path / "curves.png").read_bytes() == again


def test_the_first_batches_are_drawn_with_their_targets(tmp_path):
    batches = FirstBatches(CLASSES)
    images = torch.zeros(IMAGES + 3, 3, 32, 32)
    target = boxes([[8, 8, 24, 24]], [1])
    for step in range(2):
        batches.on_batch(tmp_path, step, images, [target] * len(images))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"batch-{n + 1}.png" for n in range(2)]
    sheet = read_image(tmp_path / "batch-1.png").pixels
    assert sheet.shape[:2] == (4 * 326 + 6, 4 * 326 + 6)  # 16 images of 320 pixels and gaps of 6
    assert color_of("dog", sheet, (6 + 239, 6 + 160))  # the lower side of the first box, scaled by 10


def test_predictions_are_drawn_beside_the_ground_truth_for_the_model_just_measured_and_the_best(tmp_path):
    asked = []

    def predict(folder, images):
        asked.append((folder, len(images)))
        return [boxes([[16, 16, 48, 48]], [1], [0.9])] * len(images)

    images = [np.zeros((64, 64, 3), np.uint8)] * 3
    predictions = Predictions(images, [boxes([[16, 16, 48, 48]], [0])] * 3, CLASSES, predict)
    predictions.on_epoch(tmp_path, ROWS[0])
    assert asked == []  # nothing was measured in this epoch
    predictions.on_epoch(tmp_path, ROWS[1])
    predictions.on_end(tmp_path, as_written(tmp_path))
    assert asked == [(tmp_path / "last", 3), (tmp_path / "best", 3)]
    sheet = read_image(tmp_path / "predictions.png").pixels
    truth, found = (6 + 239, 6 + 160), (6 + 239, 6 + 326 + 160)  # the lower sides of the boxes, scaled by 5
    assert color_of("cat", sheet, truth) and color_of("dog", sheet, found)


@pytest.mark.parametrize(
    ("pretrained", "close_epochs", "title"),
    [(False, 2, "underfitting"), (True, 2, "neither"), (True, 0, "underfitting")],
)
def test_the_last_line_is_the_verdict(tmp_path, pretrained, close_epochs, title):
    """On losses that are higher in the last two epochs, as they may be without mosaic."""
    rows = [{"epoch": i, "loss": 4.0 + (i > 3), "validation_loss": 4.0} for i in range(1, 6)]
    lines = []
    verdict = Verdict(lines.append, pretrained=pretrained, close_epochs=close_epochs)
    verdict.on_start(tmp_path, None, TrainConfig(epochs=len(rows)))
    verdict.on_end(tmp_path, as_written(tmp_path, rows))
    assert len(lines) == 1 and lines[0].startswith(title)
