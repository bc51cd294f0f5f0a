"""Colors of any ICC profile become sRGB, which everything else here takes them for."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of Pillow, by the color space of a profile
SAME = 2  # levels of 256 by which colors may change under a profile that is taken for sRGB


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert the colors of an image to sRGB.

    Args:
        image: Of any mode.
        profile: ICC profile of the image's file. One that is damaged, or of another kind of colors than the image's,
            is ignored.

    Returns:
        RGB, or RGBA where it has transparency; the image itself where nothing is to be done, as with a profile of sRGB.
    """
    transform = _transform(profile)
    gray = image.mode in ("1", "L", "LA")
    if transform is None or (transform.input_mode == "CMYK") != (image.mode == "CMYK"):
        return image
    if transform.input_mode == "L" and not gray:
        return image
    opaque, alpha = image, None
    if image.has_transparency_data:
        *bands, alpha = image.convert("RGBA").split()
        opaque = Image.merge("RGB", bands)
    converted: Image.Image = transform.apply(opaque.convert(transform.input_mode))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


@lru_cache(maxsize=64)
def _transform(profile: bytes) -> Any:
    """Return the transform from a profile to sRGB; None for what is sRGB already, by its effect, or damaged."""
    from PIL import ImageCms  # most images have no profile

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = MODES[source.profile.xcolor_space.strip()]
        srgb = ImageCms.createProfile("sRGB")
        # Threads share the transform, but not a cache inside of it.
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", flags=ImageCms.Flags.NOCACHE)
        colors = _probe(mode)
        changed = np.asarray(transform.apply(colors)).astype(int) - np.asarray(colors.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError, TypeError):
        return None
    return transform if abs(changed).max() > SAME else None


def _probe(mode: str) -> Image.Image:
    """Return colors all over the space of a mode."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    grid = np.stack(np.meshgrid(*[levels] * len(mode)), axis=-1).reshape(1, -1, len(mode))
    return Image.frombytes(mode, (grid.shape[1], 1), grid.tobytes())
