"""The feed-forward network for any style: a small encoder for contents, one for styles, and a decoder.

It has the architecture of MicroAST (Wang et al., AAAI 2023), whose published weights fit into it. A style is a code of
eight numbers per channel: the mean and deviation of its features at two depths (adaptive instance normalization, Huang
and Belongie, 2017) and the scales and shifts of the decoder's two residual blocks (modulation).
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.released.find import Model
from vision_app.released.runtime import load_module

STYLE_NETWORK = "style.onnx"

EPSILON = 1e-5  # of a variance
STRIDE = 4  # pixels of an image per position of its features


@dataclass(frozen=True)
class FastConfig:
    """The architecture of a `FastNetwork`.

    Attributes:
        widths: Channels at full, half and quarter size; each a multiple of the one before.
        stem: Kernel size of the encoders' first convolution, odd.
        last: Kernel size of the decoder's last convolution, odd.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    stem: int = 9
    last: int = 5

    def __post_init__(self) -> None:
        first, second, third = self.widths
        if min(self.widths) < 1 or second % first or third % second:
            raise ValueError(f"widths {self.widths}: each must be a multiple of the one before")
        for name, kernel in (("stem", self.stem), ("last", self.last)):
            if kernel < 1 or kernel % 2 == 0:
                raise ValueError(f"{name} {kernel}: must be odd")

    @property
    def code(self) -> int:
        """K, the size of a style code."""
        return 8 * self.widths[2]

    @property
    def statistics(self) -> int:
        """M, the number of means and deviations at two depths that a content is normalized with."""
        return 4 * self.widths[2]

    @property
    def reach(self) -> int:
        """The radius, in pixels, of the receptive field of a pixel of the result, statistics apart."""
        ends = self.stem // 2 + self.last // 2
        return ends + 2 * (1 + 2) + STRIDE * 8 + STRIDE  # halvings and doublings, eight convolutions, rounding

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read JSON values of the fields; other keys are ignored."""
        first, second, third = values["widths"]
        return cls((first, second, third), values["stem"], values["last"])


def conv(before: int, after: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size, but for its stride; borders are reflected."""
    return nn.Conv2d(before, after, kernel, stride=stride, groups=groups, padding=kernel // 2, padding_mode="reflect")


class ModulatedBlock(nn.Module):
    """Two 3 x 3 convolutions with a skip connection."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape, (B, C, h, w)."""
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Scale each convolution's output, and add its scaled input, as a style demands.

        Args:
            x: (B, C, h, w).
            scale: (B, C, 1, 1), of outputs.
            shift: (B, C, 1, 1), of inputs.
        """
        hidden = F.relu(scale * self.first(x) + shift * x)
        out: Tensor = x + scale * self.second(hidden) + shift * hidden
        return out


class Encoder(nn.Module):
    """Computes features at a quarter of the size of an image, at two depths."""

    def __init__(self, config: FastConfig):
        super().__init__()
        first, second, third = config.widths
        self.stem = conv(3, first, config.stem)
        self.to_half = conv(first, second, stride=2, groups=first)
        self.mix_half = conv(second, second, 1)
        self.to_quarter = conv(second, third, stride=2, groups=second)
        self.mix_quarter = conv(third, third, 1)
        self.shallow, self.deep = ModulatedBlock(third), ModulatedBlock(third)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shallow and the deep features of images (B, 3, H, W): (B, widths[2], H / 4, W / 4) each."""
        for layer in (self.stem, self.to_half, self.mix_half, self.to_quarter, self.mix_quarter):
            x = F.relu(layer(x))
        shallow = self.shallow(x)
        return shallow, self.deep(shallow)


class Modulator(nn.Module):
    """Computes the modulation of a residual block from the features of a style."""

    def __init__(self, width: int):
        super().__init__()
        self.scale, self.shift = conv(width, width, groups=width), conv(width, width, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """Return scales and shifts, (B, 2 C), for features (B, C, h, w)."""
        return torch.cat([self.scale(x).mean((2, 3)), self.shift(x).mean((2, 3))], 1)


class Decoder(nn.Module):
    """Renders an image of four times the size from the features of a content and a style code."""

    def __init__(self, config: FastConfig):
        super().__init__()
        first, second, third = config.widths
        self.deep, self.shallow = ModulatedBlock(third), ModulatedBlock(third)
        self.to_half, self.mix_half = conv(third, second, groups=second), conv(second, second, 1)
        self.to_full, self.mix_full = conv(second, first, groups=first), conv(first, first, 1)
        self.last = conv(first, 3, config.last)

    def forward(self, x: Tensor, code: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and the statistics that were used; see `FastNetwork.stylize`."""
        used = []
        for block, part, given in zip((self.deep, self.shallow), code.chunk(2, 1), statistics.chunk(2, 1), strict=True):
            wanted, modulation = part.chunk(2, 1)
            x, taken = restyle(x, wanted, given)
            x = block.modulated(x, *_planes(modulation))
            used.append(taken)
        for layer, mix in ((self.to_half, self.mix_half), (self.to_full, self.mix_full)):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.relu(mix(F.relu(layer(x))))
        return self.last(x), torch.cat(used, 1)


class FastNetwork(nn.Module):
    """Renders any content in any style in one pass. Images are (B, 3, H, W), RGB in 0..1, of 16 pixels or more."""

    def __init__(self, config: FastConfig = FastConfig()):
        super().__init__()
        self.config = config
        self.content, self.style, self.decoder = Encoder(config), Encoder(config), Decoder(config)
        self.modulators = nn.ModuleList([Modulator(config.widths[2]), Modulator(config.widths[2])])  # deep, shallow

    def encode(self, styles: Tensor) -> Tensor:
        """Return codes, (B, K): mean, deviation, scale and shift of the deep features and then of the shallow ones."""
        shallow, deep = self.style(styles)
        parts = zip((deep, shallow), self.modulators, strict=True)
        return torch.cat([part for x, modulator in parts for part in (moments(x), modulator(x))], 1)

    def stylize(self, contents: Tensor, codes: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Render contents in the styles of codes.

        Args:
            contents: (B, 3, H, W).
            codes: (B, K).
            statistics: (B, M) to normalize contents with; NaN or None: computed from these contents.

        Returns:
            (B, 3, H, W), which may exceed 0..1 a little, and (B, M), the statistics that were used.
        """
        if statistics is None:
            statistics = contents.new_full((len(contents), self.config.statistics), torch.nan)
        _, deep = self.content(contents)
        images, used = self.decoder(deep, codes, statistics)
        return images[:, :, : contents.shape[2], : contents.shape[3]], used

    def forward(self, contents: Tensor, styles: Tensor) -> Tensor:
        """Encode the styles and render the contents in them, (B, 3, H, W)."""
        return self.stylize(contents, self.encode(styles))[0]


def open_fast(model: Model) -> FastNetwork:
    """Return a released network, in evaluation mode.

    Raises:
        ModelError: Its model.json or its weights are not those of such a network.
    """
    return load_module(model, lambda: FastNetwork(FastConfig.from_dict(model.value("architecture", dict)))).eval()


def moments(x: Tensor) -> Tensor:
    """Return mean and deviation of each channel, (B, 2 C), for (B, C, h, w)."""
    mean = x.mean((2, 3))
    variance = (x - mean[..., None, None]).square().mean((2, 3))
    return torch.cat([mean, (variance + EPSILON).sqrt()], 1)


def restyle(x: Tensor, wanted: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Give each channel another mean and deviation (adaptive instance normalization).

    Args:
        x: (B, C, h, w).
        wanted: (B, 2 C) as `moments` gives them.
        statistics: (B, 2 C) that x is taken to have; NaN: computed from x.

    Returns:
        The features and the statistics that were used.
    """
    used = torch.where(statistics.isnan(), moments(x), statistics)
    mean, deviation = _planes(used)
    wanted_mean, wanted_deviation = _planes(wanted)
    return (x - mean) * (wanted_deviation / deviation) + wanted_mean, used


def _planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split (B, 2 C) into two (B, C, 1, 1)."""
    first, second = x[..., None, None].chunk(2, 1)
    return first, second


class PixelsToCode(nn.Module):
    """The style network for export: (1, H, W, 3) uint8 RGB to the code of a style, (1, K)."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode a style."""
        return self.network.encode(from_bytes(pixels))


class PixelsToImage(nn.Module):
    """The content network for export: (1, H, W, 3) uint8 RGB, a code (1, K) and statistics (1, M)."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, code: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Return an image (1, H, W, 3), about 0..1, and the statistics that were used."""
        image, used = self.network.stylize(from_bytes(pixels), code, statistics)
        return image.permute(0, 2, 3, 1), used


def from_bytes(pixels: Tensor) -> Tensor:
    """Convert (B, H, W, 3) uint8 to (B, 3, H, W) in 0..1."""
    return pixels.permute(0, 3, 1, 2).float() / 255
