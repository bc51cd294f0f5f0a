"""The rows of a summary and their table."""

from dataclasses import dataclass
from math import inf

from vision_app.core.text import aligned


@dataclass(frozen=True)
class Layer:
    """A row of the summary, for one image.

    Attributes:
        name: The module, "" for the network itself.
        kind: The operation, e.g. "conv 3x3/2".
        output: Channels, height and width, or the shape of what is no map.
        parameters: Trained parameters: (F F C / groups + 1) K of a convolution with bias, 2 C of a batch norm; 0 of a
            layer that is used again.
        multiply_adds: Those of convolutions and matrix products, as is the custom; batch norms fold into convolutions.
        receptive_field: Height and width in input pixels; where branches meet, the largest; behind an upsampling, where
            the cells' differ, the mean; infinite for the whole input.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: tuple[float, float]


def format_table(layers: list[Layer]) -> str:
    """Return the layers as lines of text with their totals."""
    head = ("layer", "operation", "output", "parameters", "multiply-adds", "receptive field")
    rows = [
        (
            layer.name or "network",
            layer.kind,
            " x ".join(map(str, layer.output)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
            _field(layer.receptive_field),
        )
        for layer in layers
    ]
    parameters, multiply_adds = sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers)
    total = ("total", "", "", f"{parameters:,}", f"{multiply_adds:,}", "")
    lines = aligned([head, *rows, total], left=2)
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _field(reach: tuple[float, float]) -> str:
    height, width = ("all" if side == inf else f"{side:g}" for side in reach)
    return height if height == width else f"{height} x {width}"
