"""Where and by what a network is run. Torch is imported only where a GPU may be meant."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from vision_app.core.errors import ModelError, UsageError, nearest
from vision_app.core.flags import check_choice, flag
from vision_app.released.find import WEIGHTS, Model

RUNTIMES = ("auto", "onnx", "torch")


class ExecutionOptions(TypedDict, total=False):
    """What every `load` takes by name; see `Execution`."""

    device: str
    runtime: str
    threads: int | None


@dataclass(frozen=True)
class Execution:
    """Where and by what a network is run.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N"; a number N means "cuda:N". "auto" is the GPU when the runtime is
            torch and there is one.
        runtime: "auto", "onnx" or "torch". "auto" is ONNX Runtime on a CPU and torch on a GPU, as far as the model
            has both files.
        threads: Threads of the network on a CPU; None: one for each core.
    """

    device: str = "auto"
    runtime: str = "auto"
    threads: int | None = None

    def resolved(self) -> "Execution":
        """Return what "auto" means on this machine.

        Raises:
            UsageError: There is no such device or runtime, or the two do not go together.
        """
        runtime, device = self.runtime, f"cuda:{self.device}" if str(self.device).isdecimal() else self.device
        check_choice("runtime", runtime, RUNTIMES)
        kind, _, number = device.partition(":")
        if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", device):
            hint = f"; did you mean {guess}?" if (guess := nearest(kind, ("auto", "cpu", "cuda"))) else ""
            raise UsageError(f"{flag('device')} {device}: must be auto, cpu, cuda or cuda:N{hint}")
        if runtime == "onnx" and kind == "cuda":
            raise UsageError(
                f"{flag('runtime')} onnx runs on the CPU only, {flag('device')} {device} needs {flag('runtime')} torch"
            )
        wanted = runtime == "torch" or (runtime == "auto" and _has_nvidia_driver())
        if kind == "cuda" or (device == "auto" and wanted):
            import torch

            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if kind == "cuda" and count <= int(number or 0):
                found = f"{count} CUDA devices" if count else "no CUDA device"
                raise UsageError(f"{flag('device')} {device}: this machine has {found}; use {flag('device')} cpu")
            if count:
                return replace(self, device=device if kind == "cuda" else "cuda", runtime="torch")
        return replace(self, device="cpu", runtime="onnx" if runtime == "auto" else runtime)

    def resolved_for(self, model: Model) -> "Execution":
        """Return what "auto" means for a model on this machine.

        Raises:
            UsageError: See `resolved`.
            ModelError: The model lacks the file that the runtime needs.
        """
        has_weights = model.has(WEIGHTS)
        runtime = self.runtime
        if runtime == "auto" and not model.has("model.onnx"):
            runtime = "torch"
        if (self.device, runtime) == ("auto", "auto") and not has_weights:
            runtime = "onnx"
        found = replace(self, runtime=runtime).resolved()
        if found.runtime == "torch" and not has_weights:
            hint = f"it runs with {flag('runtime')} onnx and {flag('device')} cpu"
            raise ModelError(f"model '{model.name}' has no weights.safetensors, which torch needs; {hint}")
        return found

    def on_torch(self, name: str) -> "Execution":
        """Return where a model without an ONNX file runs, and give torch its threads.

        Args:
            name: What the user called the model.

        Raises:
            UsageError: ONNX Runtime was asked for, or see `resolved`.
        """
        if self.runtime == "onnx":
            raise UsageError(f"{flag('runtime')} onnx: model '{name}' runs on torch only; leave it at auto")
        found = replace(self, runtime="torch").resolved()
        found.limit_threads()
        return found

    def limit_threads(self) -> None:
        """Give torch this many threads, where it runs on a CPU."""
        import torch

        if self.threads and self.device == "cpu":
            torch.set_num_threads(self.threads)


def _has_nvidia_driver() -> bool:
    """Return whether it is worth importing torch to ask for a GPU."""
    return Path("/proc/driver/nvidia/version").exists() or os.name == "nt"
