"""The classic method behind `Stylizer`: a picture that is optimized step by step, see `optimize`. Needs torch."""

import hashlib
import os
from dataclasses import replace
from functools import cached_property

from vision_app.core.errors import UsageError
from vision_app.released.runtime import Execution
from vision_app.style.fast import FastStylizer
from vision_app.style.model.features import EncoderNetwork, load_encoder
from vision_app.style.optimize.loop import OptimizeConfig, optimize
from vision_app.style.options import StyleOptions
from vision_app.style.stylizer import Painted, Stylizer


class OptimizeStylizer(Stylizer):
    """Repaints pictures by optimizing them; see `Stylizer`.

    Args:
        name: of the encoder.
        encoder: in whose features pictures are compared.
        device: "cpu", "cuda" or "cuda:N".
        model: of the fast method, whose picture may be the one to start from.
        threads: on a CPU; by default all cores.
    """

    method = "optimize"
    runtime = "torch"
    style_size = None
    longest_side = 1024  # an hour's work on two cores is no default

    def __init__(
        self,
        name: str,
        encoder: EncoderNetwork,
        execution: Execution = Execution("cpu", "torch"),
        *,
        model: str | os.PathLike[str] | None = None,
    ):
        self.name, self.encoder, self.device = name, encoder, execution.device
        self._model, self._execution = model, execution

    @classmethod
    def open(
        cls, model: str | os.PathLike[str] | None, encoder: str | os.PathLike[str] | None, execution: Execution
    ) -> "OptimizeStylizer":
        """Open an encoder; errors are those of `load.load_stylizer`."""
        if execution.runtime == "onnx":
            raise UsageError("--runtime onnx: --method optimize needs gradients, which only torch gives; leave it out")
        name = os.fspath(encoder or "style-encoder")
        execution = execution.on_torch(name)
        return cls(name, load_encoder(name, execution.device), execution, model=model)

    def digest(self, options: StyleOptions) -> str:
        """See `Stylizer.digest`."""
        found = hashlib.sha256()
        for tensor in self.encoder.state_dict().values():
            found.update(tensor.cpu().contiguous().numpy())
        if options.start == "fast":
            found.update(self._fast.digest(options).encode())
        return found.hexdigest()

    def check(self, options: StyleOptions) -> None:
        """Refuses options that `OptimizeConfig` refuses."""
        super().check(options)
        _config(options)

    def _paint(self, content, styles, shares, options, report, state) -> Painted:
        start = None
        if options.start == "fast":
            faster = StyleOptions(strength=options.strength, weights=shares)
            start = self._fast(content, list(styles.pixels), faster).pixels
        done = optimize(
            content, styles.pixels, self.encoder, _config(options),
            weights=shares, start=start, report=report, state=state,
        )  # fmt: skip
        about = {"iterations": done.iterations, "cost": done.costs[-1], "stopped": done.stopped}
        return Painted(done.pixels, about)

    @cached_property
    def _fast(self) -> Stylizer:
        """What makes the picture to start from."""
        return FastStylizer.open(self._model, replace(self._execution, runtime="auto"))


def _config(options: StyleOptions) -> OptimizeConfig:
    return OptimizeConfig(strength=options.strength, **options.of_optimize)
