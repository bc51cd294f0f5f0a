"""A run that was interrupted, at any step and by any means, ends with the weights of one that was not."""

import os
import random
import shutil
import signal
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch
from tiny_task import BATCHES, CONFIG, TinyTask, files, run
from torch import nn

from vision_app.core.errors import DataError, UsageError
from vision_app.training import runs

pytestmark = pytest.mark.slow

STEPS = CONFIG.epochs * BATCHES
EVERY = {  # a run of each kind that keeps something between steps
    "adamw": CONFIG,
    "nadam": replace(CONFIG, optimizer="nadam", l1=1e-3, adversarial=0.02, checkpoint_every=2),
    "nesterov": replace(CONFIG, optimizer="nesterov", schedule="plateau", plateau_patience=1, checkpoint_every=1),
    "fp16": replace(CONFIG, precision="fp16", accumulate=2, keep=1, checkpoint_every=2),
}


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that were not stopped: their files, weights and best metrics."""
    found = {}
    for name, config in EVERY.items():
        folder = tmp_path_factory.mktemp(name)
        best, weights = run(folder, TinyTask(), config)
        found[name] = files(folder), weights, best
    return found


def stop_at(index, how):
    def before(current):
        if current == index:
            how()

    return before


def fail():
    raise StoppedError


def control_c():
    signal.raise_signal(signal.SIGINT)  # to this thread, so that its handler has run when this returns


@pytest.mark.parametrize("how", [fail, control_c])
@pytest.mark.parametrize("name", EVERY)
def test_an_interrupted_run_resumes_as_if_it_had_not_been_interrupted(tmp_path, whole, name, how):
    content, weights, best = whole[name]
    generator = random.Random(f"{name} {how.__name__}")
    for index in generator.sample(range(STEPS), 2):
        folder, lines = tmp_path / str(index), []
        with pytest.raises(StoppedError if how is fail else KeyboardInterrupt):
            run(folder, TinyTask(before=stop_at(index, how)), EVERY[name], log=lines.append)
        if how is control_c:
            where = f"epoch {index // BATCHES}, step {index % BATCHES + 1}"
            assert lines[-1] == f"interrupted after {where}; the same command with --resume continues"
        found, resumed = run(folder, TinyTask(), EVERY[name], resume=True)
        assert found == best
        assert all(torch.equal(resumed[key], tensor) for key, tensor in weights.items())
        assert files(folder) == content


def test_a_run_may_be_interrupted_again_and_again(tmp_path, whole):
    for index in range(STEPS):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, TinyTask(before=stop_at(index, control_c)), resume=True)
    run(tmp_path, resume=True)
    assert files(tmp_path) == whole["adamw"][0]


def test_a_second_control_c_interrupts_at_once(tmp_path):
    def twice():
        control_c()
        control_c()

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, TinyTask(before=stop_at(0, twice)))
    assert not (tmp_path / "last.safetensors").exists()
    with pytest.raises(KeyboardInterrupt):  # Python's own way of taking it is back in place
        control_c()


@pytest.mark.parametrize(("home", "name"), [(shutil, "copytree"), (runs, "append_metrics"), (runs, "save_tensors")])
def test_a_killed_run_resumes_as_if_it_had_not_been_killed(tmp_path, whole, home, name):
    """Killed in the second epoch just before the best model, the metrics or the checkpoint are written."""
    process = get_context("fork").Process(target=run_and_die, args=(tmp_path, home, name))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    run(tmp_path, resume=True)
    assert files(tmp_path) == whole["adamw"][0]


def run_and_die(folder, home, name):
    task, write = TinyTask(), getattr(home, name)

    def die(*words, **more):
        if task.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*words, **more)

    setattr(home, name, die)
    run(folder, task)


def test_a_run_that_accumulates_gradients_resumes_with_as_many_parts(tmp_path):
    """Batch norm makes parts matter; memory that ran out once need not run out again."""

    def task(fits, **options):
        def hook(module, inputs):
            if len(inputs[0]) > fits:
                raise RuntimeError("not enough memory")

        made = TinyTask(**options)
        made.network.register_forward_pre_hook(hook)
        return made

    config = replace(CONFIG, batch_size=4)
    _, weights = run(tmp_path / "whole", task(2), config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", task(2, before=stop_at(5, control_c)), config)
    _, resumed = run(tmp_path / "stopped", task(4), config, resume=True)
    assert all(torch.equal(resumed[key], tensor) for key, tensor in weights.items())
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_a_finished_run_resumes_to_its_result(tmp_path, whole):
    content, weights, best = whole["adamw"]
    run(tmp_path)
    found, resumed = run(tmp_path, resume=True)
    assert found == best and all(torch.equal(resumed[name], tensor) for name, tensor in weights.items())
    assert files(tmp_path) == content


def test_resume_in_a_new_folder_is_a_plain_start(tmp_path, whole):
    lines = []
    run(tmp_path / "new", resume=True, log=lines.append)
    assert lines[0] == f"{tmp_path / 'new'} contains nothing to resume; a new run starts"
    assert files(tmp_path / "new") == whole["adamw"][0]


def test_a_seed_gives_the_same_run_twice_and_another_seed_another(tmp_path, whole):
    run(tmp_path / "same")
    run(tmp_path / "other", config=replace(CONFIG, seed=1))
    assert files(tmp_path / "same") == whole["adamw"][0]
    assert files(tmp_path / "other")["metrics.csv"] != whole["adamw"][0]["metrics.csv"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.01}, "learning_rate 0.01: the run to resume was started with 0.05; leave it out"),
        ({"epochs": 3}, "epochs 3: the run to resume was started with 4; give more, leave it out"),
        ({"optimizer": "adam"}, "optimizer adam: the run to resume was started with adamw; leave it out"),
    ],
)
def test_a_run_is_not_resumed_with_other_options(tmp_path, changes, message):
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError) as error:
        run(tmp_path, config=replace(CONFIG, **changes), resume=True)
    assert str(error.value) == f"{message} or choose another output"
    assert files(tmp_path) == before


@pytest.mark.parametrize("finished", [True, False])
def test_more_epochs_prolong_a_run_to_what_the_longer_run_is(tmp_path, finished):
    """Wherever the schedule does not depend on the length of the run, and each epoch is validated in both."""
    short = replace(CONFIG, epochs=2, schedule="constant", validate_every=1, keep=1)
    long = replace(short, epochs=4)
    best, weights = run(tmp_path / "long", config=long)
    if finished:
        run(tmp_path / "short", config=short)
    else:
        with pytest.raises(StoppedError):
            run(tmp_path / "short", TinyTask(before=stop_at(4, fail)), short)
    found, prolonged = run(tmp_path / "short", config=long, resume=True)
    assert found == best and all(torch.equal(prolonged[name], tensor) for name, tensor in weights.items())
    assert files(tmp_path / "short") == files(tmp_path / "long")


def test_a_prolonged_run_has_the_learning_rate_of_the_longer_run(tmp_path):
    rates = {}
    for name, epochs in {"short": 2, "long": 4, "prolonged": 2}.items():
        run(tmp_path / name, config=replace(CONFIG, epochs=epochs))
    run(tmp_path / "prolonged", config=CONFIG, resume=True)
    for name in ("short", "long", "prolonged"):
        rates[name] = [row["learning_rate"] for row in runs.read_metrics(tmp_path / name)]
    assert rates["prolonged"] == rates["short"] + rates["long"][2:]
    assert float(rates["long"][2]) > float(rates["short"][1])  # the cosine of four epochs is still high


def test_a_run_is_not_resumed_with_other_data(tmp_path):
    run(tmp_path, inputs={"data": "a.json, b.json 0123456789ab", "initial": "none"})
    for data, message in {
        "a.json, b.json ba9876543210": "data: the content of a.json, b.json has changed since the run was started",
        "a.json 0123456789ab": "data a.json 0123456789ab: the run to resume was started with a.json, b.json 01234",
    }.items():
        with pytest.raises(UsageError) as error:
            run(tmp_path, inputs={"data": data, "initial": "none"}, resume=True)
        assert str(error.value).startswith(message)


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
