"""The classic method behind `Stylizer`, see `loop`. Needs torch."""

import hashlib
import os
from dataclasses import replace
from functools import cached_property

from vision_app.core.errors import UsageError
from vision_app.core.flags import flag
from vision_app.released.execution import Execution
from vision_app.released.find import model_name
from vision_app.released.names import STYLE_ENCODER
from vision_app.style.fast import FastStylizer
from vision_app.style.model.features import EncoderNetwork, load_encoder
from vision_app.style.optimize.loop import optimize
from vision_app.style.options import StyleOptions
from vision_app.style.stylizer import Output, Request, Stylizer


class OptimizeStylizer(Stylizer):
    """Stylizes images by optimizing them; see `Stylizer`.

    Args:
        name: Name of the encoder.
        encoder: Computes the features in which images are compared.
        execution: Where the encoder and the fast method run.
        model: Of the fast method, whose result may be the initial image; None: the released one.
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
            raise UsageError(
                f"{flag('runtime')} onnx: {flag('method')} optimize needs gradients, which only torch gives; "
                "leave it out"
            )
        name = model_name(STYLE_ENCODER if encoder is None else encoder)
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

    def _stylize(self, request: Request) -> Output:
        styles, options, start = request.styles.pixels, request.options, None
        if options.start == "fast":
            fast_options = StyleOptions(strength=options.strength, weights=request.shares)
            start = self._fast(request.content, list(styles), fast_options).pixels
        return optimize(
            request.content, styles, self.encoder, options.optimize_config(),
            weights=request.shares, start=start, report=request.report, state=request.state,
        )  # fmt: skip

    @cached_property
    def _fast(self) -> Stylizer:
        """The fast method, for the initial image."""
        return FastStylizer.open(self._model, replace(self._execution, runtime="auto"))
