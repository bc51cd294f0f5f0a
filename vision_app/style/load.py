"""Load a stylizer by method: the one place that knows every method.

Importing this file gives the class `Stylizer` its public `load`; the class cannot know its own methods without a circle
of imports. Methods that need torch are imported when one of them is loaded.
"""

import os
from typing import Unpack

from vision_app.core.errors import UsageError
from vision_app.core.flags import check_choice, flag
from vision_app.released.execution import Execution, ExecutionOptions
from vision_app.style.options import METHODS
from vision_app.style.stylizer import ColorStylizer, Stylizer


def load_stylizer(
    method: str = "fast",
    *,
    model: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
    **execution: Unpack[ExecutionOptions],
) -> Stylizer:
    """Load what a method needs.

    Args:
        method: "fast", one pass of a network; "optimize", the classic method, which works on the image step by step;
            or "color", which moves colors alone.
        model: For "fast", and for "optimize" where it starts from the fast result: a released model's name or the path
            of a model folder; None: "style-fast".
        encoder: For "optimize", the network in whose features images are compared, see `features.load_encoder`;
            None: "style-encoder".
        **execution: Where and by what networks are run: `device`, `runtime` and `threads`, see `Execution`; "optimize"
            always takes torch.

    Raises:
        UsageError: There is no such method, device or runtime here.
        ModelError: There is no such model, it is for something else, or its files are damaged.
    """
    check_choice("method", method, METHODS)
    if model is not None and method == "color":
        raise UsageError(f"{flag('model')} {model}: {flag('method')} color has no network; leave it out")
    if encoder is not None and method != "optimize":
        raise UsageError(
            f"{flag('encoder')} {encoder}: belongs to {flag('method')} optimize, not to {method}; leave it out"
        )
    if method == "fast":
        from vision_app.style.fast import FastStylizer

        return FastStylizer.open(model, Execution(**execution))
    if method == "optimize":
        from vision_app.style.optimize.stylizer import OptimizeStylizer

        return OptimizeStylizer.open(model, encoder, Execution(**execution))
    return ColorStylizer()


Stylizer.load = staticmethod(load_stylizer)
