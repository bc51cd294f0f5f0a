"""The training loop on a tiny network, held to a loop written out plainly and to itself after kills."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vision_app.errors import DataError, UsageError
from vision_app.training import checkpoints
from vision_app.training.loop import TrainConfig, fit

CONFIG = TrainConfig(epochs=4, batch_size=2, learning_rate=0.05, validate_every=2, precision="fp32")
BATCHES = 3


class StoppedError(Exception):
    pass


class TinyTask:
    """Learns a fixed target from pictures of noise; `stop` is called at the start of every epoch."""

    def __init__(self, scores=(0.1, 0.2, 0.3, 0.4), stop=lambda epoch: None, spoil=lambda loss, epoch: loss):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 2, 1))
        self.scores, self.stop, self.spoil = list(scores), stop, spoil
        self.epoch, self.released = 0, []

    def batches_per_epoch(self, config):
        return BATCHES

    def batches(self, config, epoch):
        self.epoch = epoch
        generator = torch.Generator().manual_seed(config.seed * 1000 + epoch)
        for i in range(BATCHES):
            if i == 1:
                self.stop(epoch)
            yield torch.rand(config.batch_size, 3, 6, 6, generator=generator), torch.full((2,), 1.0 + epoch)

    def loss(self, images, output, targets):
        loss = (output.mean(dim=(2, 3)) - targets).square().mean()
        return self.spoil(loss, self.epoch), {"size": images.abs().mean().item()}

    def release(self, network, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, folder / "weights.safetensors")
        self.released.append(network.training)
        return {"AP": self.scores[self.epoch], "other": -self.scores[self.epoch]}


def run(folder, task=None, config=CONFIG, **options):
    task = task or TinyTask()
    return fit(task, config, folder, log=options.pop("log", lambda line: None), **options), task.network.state_dict()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_the_plain_loop_written_out(tmp_path):
    """AdamW, warm-up and cosine, clipping and the moving average, step by step."""
    config = replace(CONFIG, epochs=2, warmup_epochs=1.0, clip=0.5, average=0.8, weight_decay=0.3)
    _, found = run(tmp_path, config=config)

    task = TinyTask()
    parameters = list(task.network.named_parameters())
    mean = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    first, second = ({name: torch.zeros_like(p) for name, p in parameters} for _ in range(2))
    step = 0
    for epoch in range(2):
        for images, targets in task.batches(config, epoch):
            down = 0.05 + 0.95 * (1 + math.cos(math.pi * (step - 3) / 3)) / 2
            rate = 0.05 * ((step + 1) / 3 if step < 3 else down)
            loss, _ = task.loss(images, task.network(images), targets)
            gradients = torch.autograd.grad(loss, [p for _, p in parameters])
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

    averaged = load_file(tmp_path / "last" / "weights.safetensors")
    for name, tensor in task.network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(averaged[name], mean[name], rtol=1e-4, atol=1e-5)
    assert averaged["1.num_batches_tracked"] == 6


def test_what_a_run_leaves(tmp_path):
    lines, task = [], TinyTask(scores=(0, 0.5, 0, 0.25))
    best, _ = run(tmp_path, task, log=lines.append)
    assert best == {"AP": 0.5, "other": -0.5}
    assert task.released == [False] * 3  # the averaged network is measured, in eval mode
    models = {f"{name}/weights.safetensors" for name in ("initial", "best", "last")}
    assert set(files(tmp_path)) == {"config.json", "metrics.csv", "last.safetensors", *models}
    assert json.loads((tmp_path / "config.json").read_text())["learning_rate"] == 0.05
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["AP"] for row in rows] == ["", "0.5", "", "0.25"]
    # noise has mean 1/2; the cosine is past its warm-up of one step, on its way from 1 to 0.05 in 11 steps
    assert all(0.4 < float(row["size"]) < 0.6 and float(row["loss"]) > 0 for row in rows)
    rates = [0.05 * (0.05 + 0.475 * (1 + math.cos(math.pi * (step - 1) / 11))) for step in (2, 5, 8, 11)]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(rates)
    said = [line.split(" learning")[0] for line in lines]
    assert said == ["before training: AP 0 other 0", *(f"epoch {n}/4" for n in (1, 2, 3, 4))]


@pytest.mark.parametrize("scores", [(0, 0.5, 0, 0.25), (0, 0.2, 0, 0.3), (0, -1, 0, -2), (0, 0, 0, 0)])
def test_best_is_the_best_and_last_the_last(tmp_path, scores):
    best, _ = run(tmp_path, TinyTask(scores))
    assert best["AP"] == max(scores[1], scores[3])
    first_wins = scores[1] >= scores[3]
    same = (tmp_path / "best/weights.safetensors").read_bytes() == (tmp_path / "last/weights.safetensors").read_bytes()
    assert same != first_wins


def stop_in(epoch):
    def stop(current):
        if current == epoch:
            raise StoppedError

    return stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped: its files, its weights and its best metrics."""
    folder = tmp_path_factory.mktemp("whole")
    best, weights = run(folder)
    return files(folder), weights, best


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, whole, epoch):
    content, weights, best = whole
    with pytest.raises(StoppedError):
        run(tmp_path, TinyTask(stop=stop_in(epoch)))
    lines = []
    found, resumed = run(tmp_path, resume=True, log=lines.append)
    assert found == best
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())
    assert files(tmp_path) == content
    assert ("resuming after" in lines[0]) == (epoch > 0)


@pytest.mark.parametrize("where", ["shutil.copytree", "loop._append", "checkpoints.save"])
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tmp_path, whole, where):
    """Killed in the second epoch just before the best model, the metrics or the checkpoint are written."""
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_loop import TinyTask, run\nfrom vision_app.training import loop\n"
        "task, home = TinyTask(), loop if '_append' in sys.argv[2] else getattr(loop, sys.argv[2].split('.')[0])\n"
        "name = sys.argv[2].split('.')[1]\nnext = getattr(home, name)\n"
        "def kill(*words, **more):\n"
        "    if task.epoch == 1:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return next(*words, **more)\n"
        "setattr(home, name, kill)\nrun(Path(sys.argv[1]), task)"
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", program, str(tmp_path), where]
    killed = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run(tmp_path, resume=True)
    assert files(tmp_path) == whole[0]


def test_a_finished_run_resumes_to_its_result(tmp_path, whole):
    run(tmp_path)
    best, weights = run(tmp_path, resume=True)
    assert best == whole[2] and all(torch.equal(weights[name], tensor) for name, tensor in whole[1].items())
    assert files(tmp_path) == whole[0]


def test_resume_in_a_new_folder_is_a_plain_start(tmp_path, whole):
    run(tmp_path / "new", resume=True)
    assert files(tmp_path / "new") == whole[0]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match=r"--output .* holds a run already; --resume continues it"):
        run(tmp_path, config=replace(CONFIG, seed=1))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.01}, "--learning-rate 0.01: the run to resume was started with 0.05"),
        ({"epochs": 6}, "--epochs 6: the run to resume was started with 4"),
        ({"seed": 3}, "--seed 3: the run to resume was started with 0"),
    ],
)
def test_a_run_is_not_resumed_with_other_options(tmp_path, changes, message):
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError) as error:
        run(tmp_path, config=replace(CONFIG, **changes), resume=True)
    assert str(error.value) == message
    assert files(tmp_path) == before


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path)
    (tmp_path / "last.safetensors").write_bytes(b"damage")
    with pytest.raises(DataError, match=r"last\.safetensors: not a checkpoint"):
        run(tmp_path, resume=True)


def test_another_network_is_not_resumed(tmp_path):
    run(tmp_path)
    task = TinyTask()
    task.network = nn.Conv2d(3, 2, 1)
    with pytest.raises(DataError, match=r"last\.safetensors: belongs to another network"):
        run(tmp_path, task, resume=True)


def test_a_loss_that_is_no_number_ends_the_run_before_it_spoils_the_weights(tmp_path):
    spoiled = TinyTask(spoil=lambda loss, epoch: loss * (math.nan if epoch == 2 else 1))
    with pytest.raises(DataError, match="the loss became nan in epoch 3; try a smaller --learning-rate"):
        run(tmp_path, spoiled)
    tensors, state = checkpoints.load(tmp_path / "last.safetensors")
    assert state["epoch"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_seed_gives_the_same_run_twice_and_another_seed_another(tmp_path, whole):
    run(tmp_path / "same")
    run(tmp_path / "other", config=replace(CONFIG, seed=1))
    assert files(tmp_path / "same") == whole[0]
    assert files(tmp_path / "other")["metrics.csv"] != whole[0]["metrics.csv"]


def test_bf16_computes_nearly_the_same(tmp_path):
    _, exact = run(tmp_path / "fp32", config=replace(CONFIG, epochs=1))
    _, mixed = run(tmp_path / "bf16", config=replace(CONFIG, epochs=1, precision="bf16"))
    assert any(not torch.equal(mixed[name], tensor) for name, tensor in exact.items())
    assert all(mixed[name].dtype == tensor.dtype for name, tensor in exact.items())
    torch.testing.assert_close(mixed["0.weight"], exact["0.weight"], rtol=0, atol=0.12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs 0: must lie between 1 and 10000"),
        ({"batch_size": 5000}, "--batch-size 5000: must lie between 1 and 4096"),
        ({"learning_rate": math.nan}, "--learning-rate nan: must lie between 1e-07 and 10.0"),
        ({"weight_decay": -1.0}, "--weight-decay -1.0: must lie between 0.0 and 10.0"),
        ({"warmup_epochs": -0.5}, "--warmup-epochs -0.5: must lie between 0.0 and 10000.0"),
        ({"average": 1.5}, "--average 1.5: must lie between 0.0 and 1.0"),
        ({"clip": 0.0}, "--clip 0.0: must lie between 0.001 and 1000000.0"),
        ({"validate_every": 0}, "--validate-every 0: must lie between 1 and 10000"),
        ({"seed": -1}, "--seed -1: must lie between 0 and 4294967295"),
        ({"precision": "bf61"}, "--precision bf61: must be one of auto, fp32, bf16; did you mean bf16?"),
        ({"device": "gpu"}, "--device gpu: must be auto, cpu, cuda or cuda:N; did you mean cpu?"),
    ],
)
def test_values_out_of_range_are_refused_with_their_option(changes, message):
    with pytest.raises(UsageError) as error:
        TrainConfig(**changes)
    assert str(error.value) == message
