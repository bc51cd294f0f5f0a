import pytest
import torch

from vision_app.released import execution


@pytest.fixture
def gpus(monkeypatch):
    """Lets this machine have a number of GPUs."""

    def have(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(execution, "_has_nvidia_driver", lambda: count > 0)

    return have
