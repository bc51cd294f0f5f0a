"""Images to take a style from, each SIZE pixels a side and losslessly compressed.

No painting is shipped: `tools/draw_style_samples.py` drew them all but one, a texture from scikit-image.
"""

from importlib.resources import files
from io import BytesIO

import numpy as np

from vision_app.core.errors import UsageError, unknown
from vision_app.core.images import read_image

SIZE = 512
SAMPLES = (
    "night", "autumn", "dots", "glass", "mosaic", "waves", "engraving", "marble", "linocut", "watercolor", "facets",
    "gravel",
)  # fmt: skip


def sample(name: str) -> np.ndarray:
    """Return the sample called `name`, (SIZE, SIZE, 3) uint8 RGB.

    Raises:
        UsageError: There is no such sample.
    """
    if name not in SAMPLES:
        raise UsageError(unknown("sample", name, SAMPLES))
    return read_image(BytesIO((files(__package__) / f"{name}.webp").read_bytes())).pixels
