"""The times of stages, on a clock and a GPU of our own."""

import pytest
import torch

from vision_app.core import timing as module
from vision_app.core.timing import Stages


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", {"heads": 20, "nms": 10}), ("cuda:1", {"heads": 120, "nms": 10})]
)
def test_a_gpu_is_waited_for_before_the_clock_is_read(device, expected, monkeypatch):
    """Each block hands over in 10 ms what keeps the GPU busy for that long in `work`."""
    now, queue = [0.0], []

    def wait(asked):
        assert asked == "cuda:1"
        now[0] += sum(queue)
        queue.clear()

    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    queue.append(1.0)  # of what came before
    stages = Stages(device)
    for name, work in (("heads", 0.04), ("nms", 0.0), ("heads", 0.06)):
        with stages.stage(name):
            now[0] += 0.01
            queue.append(work)
    assert stages.times == pytest.approx(expected)
