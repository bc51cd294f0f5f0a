"""Settings for every test."""

import functools
import gc
import hashlib
import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other on a busy machine take minutes

import pytest
import typer
from hypothesis import settings

# A shell that starts the suite in the background lets it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine must not fail a property, and a run of the suite must be repeatable: the same code gets the same
# examples. HYPOTHESIS_PROFILE=search draws others each time.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Every full collection of garbage walks the million objects that torch, Streamlit and the tests themselves are made of.
gc.disable()


def pytest_collection_finish():
    gc.freeze()  # what is imported by now stays, and is not walked again
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def precision():
    """Let `--precision auto` mean bf16 or fp32 in this process, as TEST_PRECISION says, on any processor."""
    if not (wanted := os.environ.get("TEST_PRECISION")):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision_app.training.step.bf16_is_fast", lambda device: {"bf16": True, "fp32": False}[wanted])
        yield


@pytest.fixture(autouse=True, scope="session")
def commands():
    """Put the tree of commands together once: for each command line anew, that takes longer than most commands do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True, scope="session")
def exports():
    """Export a network once: the same weights in the same layers are the same ONNX file, whoever writes it again."""
    modules = [sys.modules.get(name) for name in ("vision_app.released.write", "vision_app.style.train.export")]
    files = {}

    def write_once(module, path, *words, **options):
        about = [getattr(part, "config", None) for part in module.modules()], module, words, options
        key = hashlib.sha256(repr(about).encode())
        for name, tensor in module.state_dict().items():
            key.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
        if (key := key.digest()) in files:
            path.write_bytes(files[key])
        else:
            write(module, path, *words, **options)
            files[key] = path.read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        for module in filter(None, modules):
            write = module.write_onnx
            patch.setattr(module, "write_onnx", write_once)
        yield


@pytest.fixture
def without_onnx(monkeypatch):
    """Write model folders without the ONNX file, whose export takes a second: for tests of what is beside it."""
    for module in ("vision_app.released.write", "vision_app.style.train.export"):
        monkeypatch.setattr(f"{module}.write_onnx", lambda *words, **options: None)
