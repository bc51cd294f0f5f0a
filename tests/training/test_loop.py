"""The training loop on a tiny network, compared with a loop written out plainly; what a run measures and leaves."""

import csv
import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import BATCHES, CONFIG, TinyTask, files, run

from vision_app.core.errors import DataError
from vision_app.core.tensors import load_tensors
from vision_app.training import loop

pytestmark = pytest.mark.slow


def test_a_run_is_the_plain_loop_written_out(tmp_path):
    """AdamW, warm-up and cosine, clipping, the mean over positives and the moving average, step by step."""
    config = replace(CONFIG, epochs=2, warmup_epochs=1.0, clip=0.5, ema_decay=0.8, weight_decay=0.3, batch_size=3)
    _, found = run(tmp_path, TinyTask(drop=0.0), config)

    task = TinyTask(drop=0.0)
    parameters = list(task.network.named_parameters())
    mean = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    first, second = ({name: torch.zeros_like(p) for name, p in parameters} for _ in range(2))
    step = 0
    for epoch in range(2):
        for images, targets in task.batches(config, epoch):
            down = 0.05 + 0.95 * (1 + math.cos(math.pi * (step - 3) / 3)) / 2
            rate = 0.05 * ((step + 1) / 3 if step < 3 else down)
            loss, positives, _ = task.loss(images, task.network(images), targets)
            assert positives == (3 if epoch == 0 else 5)
            gradients = torch.autograd.grad(loss / positives, [p for _, p in parameters])
            norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
            step += 1
            with torch.no_grad():
                for (name, p), g in zip(parameters, gradients, strict=True):
                    g = g * min(1, 0.5 / (norm + 1e-6))
                    p *= 1 - rate * (0.3 if p.ndim > 1 else 0.0)  # decay pulls on convolution weights alone
                    first[name] = 0.9 * first[name] + 0.1 * g
                    second[name] = 0.999 * second[name] + 0.001 * g.square()
                    size = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                    p -= rate * first[name] / (1 - 0.9**step) / size
            decay = min(0.8, step / (step + 9))
            for name, tensor in task.network.state_dict().items():
                mean[name] = decay * mean[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor.clone()

    ema = load_file(tmp_path / "last" / "weights.safetensors")
    for name, tensor in task.network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ema[name], mean[name], rtol=1e-4, atol=1e-5)
    assert ema["1.num_batches_tracked"] == 6


def test_a_run_leaves_its_files(tmp_path):
    lines, task = [], TinyTask(scores=(0, 0.5, 0, 0.25))
    best, _ = run(tmp_path, task, log=lines.append)
    assert best == {"AP": 0.5, "other": -0.5}
    assert task.modes == [False] * 3  # the EMA network is measured, in evaluation mode
    models = {f"{name}/weights.safetensors" for name in ("initial", "best", "last")}
    assert set(files(tmp_path)) == {"config.json", "metrics.csv", "last.safetensors", *models}
    assert json.loads((tmp_path / "config.json").read_text())["learning_rate"] == 0.05
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["AP"] for row in rows] == ["", "0.5", "", "0.25"]
    assert [float(row["positives"]) for row in rows] == [1, 1, 2, 3]  # a sample; targets are 1, 2; 2, 3; 3, 4; 4, 5
    # noise has mean 1/2; the cosine is past its warm-up of one step, on its way from 1 to 0.05 in 11 steps
    sizes = [float(row["size"]) * float(row["positives"]) for row in rows]
    assert all(0.4 < size < 0.6 for size in sizes) and all(float(row["loss"]) > 0 for row in rows)
    rates = [0.05 * (0.05 + 0.475 * (1 + math.cos(math.pi * (step - 1) / 11))) for step in (2, 5, 8, 11)]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(rates)
    said = [line.split(" learning")[0] for line in lines]
    epochs = [f"epoch {n}/4" for n in (1, 2, 3, 4)]
    assert said == ["before training: AP 0 other 0", *epochs, f"best model: {tmp_path / 'best'} AP 0.5 other -0.5"]


@pytest.mark.parametrize(("seconds", "steps"), [(1, 0), (31, 12)])
def test_slow_steps_are_told_one_by_one(tmp_path, monkeypatch, seconds, steps):
    clock = itertools.count(0, seconds)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    lines = []
    run(tmp_path, log=lines.append)
    assert sum(" min left" in line for line in lines) == steps


def test_samples_are_counted_and_not_taken_for_granted(tmp_path, monkeypatch):
    """There are two samples, however large a batch may be."""
    monkeypatch.setattr(loop, "STEPS_A_LINE", 1)
    clock = iter(range(1000))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    class Few(TinyTask):
        def batches(self, config, epoch, **share):
            return super().batches(replace(config, batch_size=2), epoch, **share)

    lines = []
    run(tmp_path, Few(), replace(CONFIG, batch_size=16), log=lines.append)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [float(row["positives"]) for row in rows] == [1, 1, 2, 3] and "samples" not in rows[0]
    assert ["positives 1 2.0 images/s, " in line for line in lines if line.startswith("epoch 1/4 step")] == [True] * 3


@pytest.mark.parametrize("scores", [(0, 0.5, 0, 0.25), (0, 0.2, 0, 0.3), (0, -1, 0, -2), (0, 0, 0, 0)])
def test_best_and_last_are_written(tmp_path, scores):
    best, _ = run(tmp_path, TinyTask(scores))
    assert best["AP"] == max(scores[1], scores[3])
    first_wins = scores[1] >= scores[3]
    same = (tmp_path / "best/weights.safetensors").read_bytes() == (tmp_path / "last/weights.safetensors").read_bytes()
    assert same != first_wins


def test_without_metrics_the_newest_network_is_the_best(tmp_path):
    task = TinyTask()
    release = task.release
    task.release = lambda network, folder: release(network, folder) and {}
    best, _ = run(tmp_path, task)
    assert best == {}
    assert (tmp_path / "best/weights.safetensors").read_bytes() == (tmp_path / "last/weights.safetensors").read_bytes()


def test_the_best_models_are_kept(tmp_path):
    scores, kept = (0.3, 0.1, 0.4, 0.2, 0.35), []
    task = TinyTask(scores, before=lambda index: kept.append({path.name for path in (tmp_path / "top").glob("*")}))
    run(tmp_path, task, replace(CONFIG, epochs=5, validate_every=1, keep=2))
    assert {path.name for path in (tmp_path / "top").iterdir()} == {"epoch-0003", "epoch-0005"}
    assert kept[BATCHES] == {"epoch-0001"} and kept[3 * BATCHES] == {"epoch-0001", "epoch-0003"}
    best = (tmp_path / "best/weights.safetensors").read_bytes()
    assert (tmp_path / "top/epoch-0003/weights.safetensors").read_bytes() == best


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (1, 3), (2, 4), (3, 6)])
def test_training_stops_without_improvement(tmp_path, patience, epochs):
    """The second epoch is the best until the fifth would be, to which only enough patience comes."""
    lines, scores = [], (0.1, 0.5, 0.4, 0.4, 0.6, 0.6)
    config = replace(CONFIG, epochs=6, validate_every=1, patience=patience)
    best, _ = run(tmp_path, TinyTask(scores), config, log=lines.append)
    assert best["AP"] == max(scores[:epochs])
    assert len(list(csv.DictReader((tmp_path / "metrics.csv").open()))) == epochs
    assert ("no improvement in" in lines[-2]) == (epochs < 6)
    assert run(tmp_path, TinyTask(scores), config, resume=True)[0] == best  # and goes no further when resumed


def test_plateau_lowers_the_learning_rate_after_validations_without_improvement(tmp_path):
    scores = (0.3, 0.2, 0.1, 0.4, 0.4, 0.4)
    config = replace(CONFIG, epochs=6, validate_every=1, schedule="plateau", plateau_patience=2)
    run(tmp_path, TinyTask(scores), config)
    rates = [float(row["learning_rate"]) for row in csv.DictReader((tmp_path / "metrics.csv").open())]
    assert rates == pytest.approx([0.05, 0.05, 0.05, 0.015, 0.015, 0.015])


def test_callbacks_see_the_first_batches_each_row_and_the_end(tmp_path):
    seen, lines = [], []

    class Callback:
        def on_start(self, folder, task, config):
            seen.append(("start", folder, task.epoch, config.epochs))

        def on_batch(self, folder, step, images, targets):
            seen.append(("batch", step, images.shape[0], targets.tolist()))

        def on_end(self, folder, rows):
            assert lines[-1].startswith("best model: ")  # so that what a callback says is the last word
            seen.append(("end", folder, [row["epoch"] for row in rows]))

    class RowCallback:
        def on_epoch(self, folder, row):
            seen.append(("epoch", row["epoch"], "AP" in row))

    run(tmp_path, callbacks=[Callback(), RowCallback()], log=lines.append)
    assert seen == [
        ("start", tmp_path, 0, 4),
        *(("batch", step, 2, [1.0, 2.0]) for step in range(3)),
        *(("epoch", epoch, epoch % 2 == 0) for epoch in (1, 2, 3, 4)),
        ("end", tmp_path, ["1", "2", "3", "4"]),
    ]


def test_the_validation_loss_is_that_of_the_ema_network_in_evaluation_mode(tmp_path):
    seen = []

    class Validated(TinyTask):
        def validation_loss(self):
            seen.append((self.network.training, torch.is_grad_enabled(), self.network[0].weight.clone()))
            return 7.0

    task = Validated()
    run(tmp_path, task)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["validation_loss"] for row in rows] == ["", "7.0", "", "7.0"]
    assert [one[:2] for one in seen] == [(False, False)] * 2
    assert torch.equal(seen[-1][2], load_file(tmp_path / "last" / "weights.safetensors")["0.weight"])
    _, weights = run(tmp_path / "without")
    assert torch.equal(weights["0.weight"], task.network[0].weight)


def test_a_nan_loss_ends_the_run_before_it_changes_the_weights(tmp_path):
    spoiled = TinyTask(spoil=lambda loss, epoch: loss * (math.nan if epoch == 2 else 1))
    with pytest.raises(DataError) as error:
        run(tmp_path, spoiled)
    left = f"{tmp_path / 'last.safetensors'} has the state before"
    assert str(error.value) == f"the loss became nan in epoch 3, step 1; {left}; try a smaller --learning-rate"
    tensors, state = load_tensors(tmp_path / "last.safetensors")
    assert state["epoch"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert all(torch.isfinite(tensor).all() for tensor in spoiled.network.parameters())


def test_a_nan_gradient_ends_the_run_too(tmp_path):
    spoiled = TinyTask(spoil=lambda loss, epoch: loss + 0 * (loss - loss.detach()).sqrt())
    with pytest.raises(DataError, match="the gradient became nan in epoch 1, step 1; try a smaller --learning-rate"):
        run(tmp_path, spoiled)
