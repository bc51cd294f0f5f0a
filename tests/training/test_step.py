"""A step is that of the whole batch, however divided over parts or processes; regularization reaches its minimum."""

import math
import os
import socket
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_task import BATCHES, CONFIG, TinyTask, run
from torch import nn

from vision_app.core.errors import DataError, UsageError
from vision_app.core.tensors import load_tensors, without_prefix
from vision_app.released.execution import Execution
from vision_app.training.step import Stepper, adversarial, build_optimizer, make_fabric, shrink

pytestmark = pytest.mark.slow

WHOLE = replace(CONFIG, epochs=2, batch_size=5, checkpoint_every=0)


class SteadyTask(TinyTask):
    """Without what makes one sample's result depend on others: batch norm stays in evaluation mode, nothing drops."""

    def __init__(self, **options):
        super().__init__(drop=0.0, **options)
        self.network[1].eval().train = lambda mode=True: self.network[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), SteadyTask(), WHOLE)[1]


def assert_close(found, expected, tolerance=1e-5):
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=tolerance, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("accumulate", [2, 3, 5, 8])
def test_parts_of_a_batch_make_the_step_of_the_whole(tmp_path, whole, accumulate):
    """5 samples in parts of 2 and 3, of which each has another number of positives."""
    sizes, task = [], SteadyTask()
    task.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    assert_close(run(tmp_path, task, replace(WHOLE, accumulate=accumulate))[1], whole)
    assert len(sizes) == 2 * BATCHES * min(accumulate, 5) and sum(sizes) == 2 * BATCHES * 5


@pytest.mark.parametrize(
    "error",
    [
        getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("not enough memory: you tried to allocate 80 GB"),
    ],
)
def test_a_batch_is_halved_until_it_fits(tmp_path, whole, error):
    """A network that takes 2 samples at most: parts of 5, of 2 and 3, then of 1 and 2."""
    lines, task = [], SteadyTask()

    def limit(module, inputs):
        if len(inputs[0]) > 2:
            raise error

    task.network.register_forward_pre_hook(limit)
    found = run(tmp_path, task, WHOLE, log=lines.append)[1]
    assert_close(found, whole)
    said = [line for line in lines if "memory" in line]
    assert said == [
        f"memory ran out; gradients are accumulated over {parts} parts of each batch from now on" for parts in (2, 4)
    ]
    assert load_tensors(tmp_path / "last.safetensors")[1]["parts"] == 4  # so that a resumed run knows


def test_memory_for_less_than_one_sample_is_an_error_and_other_errors_pass(tmp_path):
    def fail(words):
        def hook(module, inputs):
            raise RuntimeError(words)

        task = TinyTask()
        task.network.register_forward_pre_hook(hook)
        return task

    with pytest.raises(DataError, match=r"^memory ran out; try smaller images or a smaller --batch-size$"):
        run(tmp_path / "a", fail("not enough memory"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path / "b", fail("shapes do not match"))


def test_adversarial_training_is_on_clean_and_perturbed_samples_alike(tmp_path):
    """One step of plain gradient descent on the mean over both."""
    config = replace(WHOLE, epochs=1, optimizer="sgd", weight_decay=0.0, schedule="constant", warmup_epochs=0.0)
    config = replace(config, adversarial=0.05, clip=1e6)

    class OneBatch(SteadyTask):
        def batches_per_epoch(self, config):
            return 1

        def batches(self, config, epoch, **share):
            yield next(iter(super().batches(config, epoch, **share)))

    _, found = run(tmp_path, OneBatch(), config)
    task = OneBatch()
    (images, targets), network = next(iter(task.batches(config, 0))), task.network
    images.requires_grad_()
    clean, positives, _ = task.loss(images, network(images), targets)
    (gradient,) = torch.autograd.grad(clean, images, retain_graph=True)
    perturbed, _, _ = task.loss(images, network(adversarial(images.detach(), gradient, 0.05)), targets)
    assert perturbed > clean
    ((clean + perturbed) / (2 * positives)).backward()
    wanted = {name: p.detach() - 0.05 * p.grad for name, p in network.named_parameters()}
    assert_close(found, wanted, 1e-6)


def test_processes_talk_once_a_step(monkeypatch):
    """Of two parts with a clean and a perturbed pass each, the last pass alone synchronizes."""
    config = replace(WHOLE, accumulate=2, adversarial=0.05)
    task, fabric, kept_quiet = SteadyTask(), make_fabric(config), []
    take, quiet = Stepper(task, config, fabric), fabric.no_backward_sync
    monkeypatch.setattr(
        fabric, "no_backward_sync", lambda model, enabled: kept_quiet.append(enabled) or quiet(model, enabled=enabled)
    )
    take(0, 0.05, *next(iter(task.batches(config, 0))))
    assert kept_quiet == [True, True, True, False]


def change(precision):
    """Of the weights by one step of plain gradient descent, after some at rate 0 in which fp16 finds its scale."""
    config = replace(WHOLE, precision=precision, optimizer="sgd", weight_decay=0.0)
    task = SteadyTask()
    step, (images, targets) = Stepper(task, config, make_fabric(config)), next(iter(task.batches(config, 0)))
    for index in range(20):
        step(index, 0.0, images, targets)
    before = [p.detach().clone() for p in task.network.parameters()]
    step(20, 0.05, images, targets)
    return torch.cat([(p.detach() - b).flatten() for p, b in zip(task.network.parameters(), before, strict=True)])


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.03), ("fp16", 0.005)])
def test_mixed_precision_computes_nearly_the_same(precision, error):
    exact, mixed = change("fp32"), change(precision)
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - exact).norm() < error * exact.norm()


def no_number(loss):
    """The same loss with a gradient that is none."""
    return loss + 0 * (loss - loss.detach()).sqrt()


def test_fp16_skips_a_nan_gradient_and_gives_up_when_all_are(tmp_path):
    config = replace(WHOLE, epochs=20, precision="fp16", l1=0.1)
    task = SteadyTask(scores=[0.5] * 20, spoil=lambda loss, epoch: no_number(loss))
    before = [p.detach().clone() for p in task.network.parameters()]
    with pytest.raises(DataError, match=r"^the gradient became nan in epoch 10, step 1; .* try a smaller --learning"):
        run(tmp_path / "all", task, config)  # after 27 steps, each of which halves the scale
    assert all(torch.equal(p, b) for p, b in zip(task.network.parameters(), before, strict=True))
    some = SteadyTask(spoil=lambda loss, epoch: loss if epoch else no_number(loss))
    run(tmp_path / "some", some, replace(config, epochs=2))
    for p, b in zip(some.network.parameters(), before, strict=True):
        assert torch.isfinite(p).all() and not torch.equal(p, b)


def test_frozen_parts_stay_as_they_are(tmp_path):
    task = TinyTask()
    task.network[0].requires_grad_(False)
    before = task.network[0].weight.clone()
    _, found = run(tmp_path, task, replace(CONFIG, l1=0.01))
    assert torch.equal(found["0.weight"], before)
    assert not torch.equal(found["4.weight"], TinyTask().network[4].weight)


def test_more_processes_than_samples_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--batch-size 2: must be at least the number of processes, 3"):
        run(tmp_path, config=replace(CONFIG, devices=3))


def test_one_gpu_for_many_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Execution, "resolved", lambda execution: execution)  # as if there were GPUs
    with pytest.raises(UsageError, match="--device cuda:1: is one device for 2 processes; use --device cuda"):
        run(tmp_path, config=replace(CONFIG, device="cuda:1", devices=2))


def run_process(rank, folder):
    """One of two processes as `torchrun` starts them; what it says and what it draws at random go into files."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with (folder / f"said by {rank}").open("w") as said, (folder / f"drawn by {rank}").open("w") as drawn:

        def spoil(loss, epoch):
            print(torch.rand(()).item(), file=drawn)
            return loss

        run(folder / "run", SteadyTask(spoil=spoil), WHOLE, log=lambda line: print(line, file=said))


def test_two_processes_train_the_weights_of_one(tmp_path, whole, monkeypatch):
    """Over gloo, with 2 and 3 of 5 samples; one process measures, writes and talks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": 1,
                        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    processes = [get_context("fork").Process(target=run_process, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        process.kill()  # one that waits for the other for ever
    assert [process.exitcode for process in processes] == [0, 0]
    tensors, _ = load_tensors(tmp_path / "run" / "last.safetensors")
    assert_close(without_prefix("network", tensors), whole)
    lines = (tmp_path / "said by 0").read_text().splitlines()
    assert [line[:9] for line in lines] == ["before tr", "epoch 1/2", "epoch 2/2", "best mode"]
    assert (tmp_path / "said by 1").read_text() == ""
    drawn = [(tmp_path / f"drawn by {rank}").read_text().splitlines() for rank in range(2)]
    assert len({*drawn[0], *drawn[1]}) == 2 * 2 * BATCHES  # no two alike, over processes and steps
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3


AIM = np.array([[1.5, -0.9, 0.3, -0.05]])


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.0, 0.5), (0.4, 0.0), (0.4, 0.5)])
def test_l1_l2_and_elastic_net_come_to_their_minimum(l1, l2):
    """|w - a|^2 / 2 + l1 |w| + l2 |w|^2 / 2 is smallest at sign(a) max(|a| - l1, 0) / (1 + l2)."""
    layer = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    optimizer = build_optimizer("sgd", layer, 0.1, momentum=0.0, weight_decay=l2)
    for _ in range(300):
        layer.weight.grad = layer.weight.detach() - torch.tensor(AIM)
        optimizer.step()
        shrink([layer.weight], 0.1 * l1)
    minimum = np.sign(AIM) * np.maximum(abs(AIM) - l1, 0) / (1 + l2)
    np.testing.assert_allclose(layer.weight.detach(), minimum, atol=1e-9)
    assert ((layer.weight == 0).numpy() == (minimum == 0)).all()  # exactly


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.floats(-2, 2), st.floats(0.001, 0.1))
def test_no_other_change_of_that_size_raises_a_linear_loss_more(weights, offset, epsilon):
    """For a linear model fast gradient sign is exact: the loss rises by epsilon sum |w| (Goodfellow et al., 2015)."""
    images = torch.full((1, 2, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(weights, dtype=torch.float64)[None, :, None, None]
    loss = (weight * images).sum() + offset
    (gradient,) = torch.autograd.grad(loss, images)
    changed = adversarial(images.detach(), gradient, epsilon)
    rise = (weight * changed).sum() + offset - loss
    assert math.isclose(rise.item(), epsilon * sum(map(abs, weights)), abs_tol=1e-9)


def test_adversarial_images_stay_images():
    images = torch.tensor([0.0, 0.99, 0.5])[None, :, None, None]
    changed = adversarial(images, torch.tensor([-1.0, 7.0, 0.0])[None, :, None, None], 0.1)
    assert changed.flatten().tolist() == [0.0, 1.0, 0.5] and not changed.requires_grad
