"""Colors are sRGB whatever profile a file has; most files have none, or that of sRGB, and stay as they are."""

import io
from pathlib import Path

import numpy as np
import pytest
from image_files import cmyk_profile, encode, gray_profile, heic_with_profile, icc_profile, rgb_profile
from PIL import Image, ImageCms
from skimage import data

from vision_app.core.color_profile import to_srgb
from vision_app.core.images import read_image

SRGB = ImageCms.createProfile("sRGB")


@pytest.fixture(scope="module")
def photo():
    """A photo, and the same colors written in a wide space."""
    plain = Image.fromarray(data.astronaut()).resize((256, 256))
    wide = ImageCms.profileToProfile(plain, SRGB, ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile())))
    del wide.info["icc_profile"]
    return plain, wide


def difference(one, other):
    return np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    ],
)
def test_a_wide_space_becomes_srgb_in_every_format(photo, kind, options):
    plain, wide = photo
    assert difference(plain, wide) > 10
    assert difference(read_image(encode(wide, kind, icc_profile=rgb_profile(), **options)).pixels, plain) < 3
    assert difference(read_image(encode(wide, kind, **options)).pixels, wide) < 2  # without a profile it is sRGB


def test_a_profile_of_a_heic_file_counts():
    pytest.importorskip("pi_heif")
    content = (Path(__file__).parents[1] / "data" / "sideways.heic").read_bytes()
    plain = read_image(content).pixels
    expected = np.asarray(to_srgb(Image.fromarray(plain), rgb_profile()))
    assert np.abs(expected.astype(int) - plain).max() > 20
    found = read_image(heic_with_profile(content, rgb_profile())).pixels
    assert found.shape == plain.shape and np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("source", ["palette", "RGBA", "opened by Pillow"])
def test_a_profile_counts_whatever_the_mode(photo, source):
    plain, wide = photo
    if source == "palette":
        wide = wide.quantize(256)
    elif source == "RGBA":
        wide = wide.convert("RGBA")
    content = encode(wide, "PNG", icc_profile=rgb_profile())
    image = read_image(Image.open(io.BytesIO(content)) if source == "opened by Pillow" else content)
    assert difference(image.pixels, plain) < 6 and image.alpha is None


def test_reduced_decoding_gives_the_same_colors(photo):
    plain, wide = photo
    reduced = read_image(encode(wide, "JPEG", quality=95, icc_profile=rgb_profile()), target=64).pixels
    expected = read_image(encode(plain, "JPEG", quality=95), target=64).pixels
    assert reduced.shape == (64, 64, 3) and difference(reduced, expected) < 2


def test_transparency_is_that_of_the_file(photo):
    plain, wide = (one.copy() for one in photo)
    alpha = Image.linear_gradient("L")
    for one in (plain, wide):
        one.putalpha(alpha)
    found, expected = read_image(encode(wide, "PNG", icc_profile=rgb_profile())), read_image(encode(plain, "PNG"))
    assert (found.alpha == np.asarray(alpha)).all()
    assert difference(found.pixels, expected.pixels) < 2


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA"])
def test_a_profile_of_srgb_changes_nothing(mode):
    image = Image.fromarray(data.astronaut()).resize((64, 64)).convert(mode)
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    assert to_srgb(image, profile) is image
    with_profile, without = (read_image(encode(image, "PNG", **one)) for one in ({"icc_profile": profile}, {}))
    assert (with_profile.pixels == without.pixels).all()


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_levels_in_proportion_to_the_light_become_srgb(mode):
    """Half of the light is level 188 of 256 in sRGB."""
    image = Image.new("L", (4, 4), 128).convert(mode)
    pixels = read_image(encode(image, "PNG", icc_profile=gray_profile())).pixels
    assert np.abs(pixels.astype(int) - 188).max() <= 1


def test_gray_levels_in_the_light_of_a_color_profile_become_srgb():
    pixels = read_image(encode(Image.new("L", (4, 4), 128), "PNG", icc_profile=rgb_profile(gamma=1.0))).pixels
    assert np.abs(pixels.astype(int) - 188).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("ink", "lightness"), [((0, 0, 0, 0), 255), ((255, 0, 0, 0), 162), ((255, 255, 0, 0), 81), ((0, 0, 0, 255), 0)]
)
def test_ink_becomes_the_color_that_its_profile_says(kind, ink, lightness):
    """Gray of L* 100, 66.7, 33.3 and 0; without the profile 255, 0, 0, 0 is cyan."""
    content = encode(Image.new("CMYK", (16, 16), ink), kind, icc_profile=cmyk_profile())
    assert np.abs(read_image(content).pixels.astype(int) - lightness).max() <= 4


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile",
        rgb_profile()[:200],
        rgb_profile()[:-40],
        bytes(128) + rgb_profile()[128:],
        icc_profile("RGB ", {}),
        gray_profile(),
        cmyk_profile(),
    ],
)
def test_a_damaged_profile_and_one_of_other_colors_are_ignored(photo, profile):
    _, wide = photo
    assert (read_image(encode(wide, "PNG", icc_profile=profile)).pixels == np.asarray(wide)).all()


def test_a_profile_of_light_does_not_apply_to_ink():
    content = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", icc_profile=rgb_profile())
    assert read_image(content).pixels[0, 0].tolist() == [255, 0, 0]
