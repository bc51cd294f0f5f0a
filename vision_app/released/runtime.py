"""A released network on ONNX Runtime or on torch, behind one call on NumPy arrays.

ONNX Runtime starts in a sixth of a second and is the faster one on a CPU; torch serves GPUs. Torch is imported only
when it is used.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vision_app.core.errors import ModelError
from vision_app.core.timing import Stages
from vision_app.released.execution import Execution
from vision_app.released.find import WEIGHTS, Model

if TYPE_CHECKING:
    import numpy as np
    from onnxruntime import InferenceSession
    from torch.nn import Module

M = TypeVar("M", bound="Module")
LARGE = 2**19  # pixels of an input from which ONNX Runtime gives back the memory of a run


class Network(Protocol):
    """Takes (B, H, W, 3) uint8, gives (B, ...) float32.

    Attributes:
        runtime: "onnx" or "torch".
        device: Where it runs.
    """

    runtime: str
    device: str

    def __call__(self, pixels: "np.ndarray", stages: Stages | None = None) -> "np.ndarray":
        """Run the network; `stages` takes the times, on torch by the module's method `timed`, needed only then."""


def open_network(model: Model, build: Callable[[], "Module"], execution: Execution = Execution()) -> Network:
    """Open a released network where it runs best.

    Args:
        model: Has `model.onnx`, `weights.safetensors` or both.
        build: For torch, makes the module that takes uint8 pixels; its `network` gets the weights. Called only then.
        execution: Where it runs.

    Raises:
        UsageError: There is no such device or runtime, or the two do not go together.
        ModelError: The model lacks the file, or it is damaged.
    """
    execution = execution.resolved_for(model)
    if execution.runtime == "onnx":
        return OnnxNetwork(model, execution.threads)
    return TorchNetwork(model, build, execution)


def open_session(path: Path, threads: int | None = None) -> "InferenceSession":
    """Open an ONNX file on ONNX Runtime's CPU provider.

    Args:
        path: The file.
        threads: As many as OMP_NUM_THREADS says by default, which torch heeds as well; else all cores.

    Raises:
        ModelError: It cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    default = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    options.intra_op_num_threads = threads or (int(default) if default.isdigit() else 0)
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no base class
        raise ModelError(f"{path}: ONNX Runtime cannot load it ({error})") from error


def run_session(
    session: "InferenceSession", inputs: dict[str, "np.ndarray"], pixels: int, name: str
) -> "list[np.ndarray]":
    """Run a session, and give back its memory after an input of many pixels: it would keep it, for every shape anew.

    Args:
        session: See `open_session`.
        inputs: By name.
        pixels: Height times width of each image.
        name: The model's name.

    Returns:
        All outputs.

    Raises:
        ModelError: The network takes other inputs.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    if pixels >= LARGE:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        outputs: list[np.ndarray] = session.run(None, inputs, options)
    except Exception as error:  # ONNX Runtime's own errors share no base class
        raise ModelError(f"model '{name}' cannot be run ({error})") from error
    return outputs


def load_module(model: Model, build: Callable[[], M]) -> M:
    """Return the torch network that `build` makes from model.json, with the model's weights.

    Raises:
        ModelError: The architecture cannot be used, or the weights are those of another one.
    """
    with built_from(model):
        network = build()
    _load_weights(network, model.file(WEIGHTS))
    return network


def _load_weights(network: "Module", path: Path) -> None:
    """Fill a torch network from a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: not the weights of this network ({error})") from error
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise ModelError(f"{path}: its weights are not finite")


@contextmanager
def built_from(model: Model) -> Iterator[None]:
    """Build a torch network from model.json: an architecture that cannot be built is an error of the model.

    Nor may it have more parameters than the file of weights has bytes, which `model.json` tells before memory is taken.

    Raises:
        ModelError: The architecture cannot be used.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    left, builder = model.info["files"].get(WEIGHTS, {}).get("bytes", math.inf), get_ident()

    def count(module: object, name: str, parameter: Any) -> None:
        nonlocal left
        if parameter is None or get_ident() != builder:  # torch calls it for the networks of all threads
            return
        left -= parameter.numel()
        if left < 0:
            raise ValueError(f"more parameters than {WEIGHTS} has bytes")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise model.lacks("architecture", error) from error
    finally:
        hook.remove()


def check_finite(values: "np.ndarray", name: str) -> None:
    """Refuse an output from which nothing can be told.

    Raises:
        ModelError: Something in it is not finite.
    """
    import numpy as np

    if not np.isfinite([values.min(initial=0), values.max(initial=0)]).all():
        raise ModelError(f"model '{name}' produced NaN or infinity for this image")


class OnnxNetwork:
    """`model.onnx` on ONNX Runtime's CPU provider."""

    runtime, device = "onnx", "cpu"

    def __init__(self, model: Model, threads: int | None = None):
        self._name, self._session = model.name, open_session(model.file("model.onnx"), threads)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pixels: "np.ndarray", stages: Stages | None = None) -> "np.ndarray":
        """Run the network on (B, H, W, 3) uint8."""
        with (stages or Stages()).stage("network"):
            answer = run_session(self._session, {self._input: pixels}, math.prod(pixels.shape[1:3]), self._name)[0]
        check_finite(answer, self._name)
        return answer


class TorchNetwork:
    """`weights.safetensors` in a torch module, in channels-last order."""

    runtime = "torch"

    def __init__(self, model: Model, build: Callable[[], "Module"], execution: Execution):
        import torch

        execution.limit_threads()
        self.device, self._name = execution.device, model.name
        with built_from(model):
            module: Any = build()  # torch types the attributes of modules as tensors or modules
        _load_weights(module.network, model.file(WEIGHTS))
        self.module: Any = module.eval().to(self.device, memory_format=torch.channels_last)

    def __call__(self, pixels: "np.ndarray", stages: Stages | None = None) -> "np.ndarray":
        """Run the network on (B, H, W, 3) uint8."""
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self.device)
            found = self.module.timed(batch, stages) if stages else self.module(batch)
            answer: np.ndarray = found.float().cpu().numpy()
        check_finite(answer, self._name)
        return answer
