"""Plots as PNG files: matplotlib without a screen, and without its cache in the user's home."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vision_app.core.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 100


def import_matplotlib() -> None:
    """Import matplotlib; to be called before any other package imports it."""
    if "matplotlib" not in sys.modules and "MPLCONFIGDIR" not in os.environ:
        with TemporaryDirectory() as folder:  # matplotlib would keep a list of the machine's fonts in ~/.cache
            os.environ["MPLCONFIGDIR"] = folder
            try:
                import matplotlib.font_manager  # noqa: F401
            finally:
                del os.environ["MPLCONFIGDIR"]


def new_figure(width: int, height: int) -> Figure:
    """Return an empty figure of so many pixels, whose parts will be laid out without overlaps."""
    import_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches around every part
    return Figure((width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, layout=layout)


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file. Equal figures make equal files."""
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(to_png(figure))
