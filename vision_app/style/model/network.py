"""The feed-forward network for any style: a small encoder for contents, one for styles, and a decoder between them.

It has the shape of MicroAST (Wang et al., AAAI 2023), whose published weights fit into it. A style is a code of eight
numbers a channel: the mean and deviation of its features at two depths (adaptive instance normalization, Huang and
Belongie, 2017) and what the decoder's two residual blocks multiply and add (modulation).
"""

from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.released.find import Model
from vision_app.released.runtime import load_weights

STYLE_NETWORK = "style.onnx"

EPSILON = 1e-5  # of a variance
STRIDE = 4  # pixels of a picture to one position of its features


@dataclass(frozen=True)
class FastConfig:
    """The shape of a `FastNetwork`.

    Attributes:
        widths: channels at full, half and quarter size; each a multiple of the one before.
        stem: side of the encoders' first convolution, an odd number.
        last: side of the decoder's last convolution, an odd number.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    stem: int = 9
    last: int = 5

    def __post_init__(self):
        first, second, third = self.widths
        if min(self.widths) < 1 or second % first or third % second:
            raise ValueError(f"widths {self.widths}: each must be a multiple of the one before")
        for name, kernel in (("stem", self.stem), ("last", self.last)):
            if kernel < 1 or kernel % 2 == 0:
                raise ValueError(f"{name} {kernel}: must be odd")

    @property
    def code(self) -> int:
        """K, how many numbers tell a style."""
        return 8 * self.widths[2]

    @property
    def statistics(self) -> int:
        """M, how many numbers a content is normalized with: means and deviations at two depths."""
        return 4 * self.widths[2]

    @property
    def reach(self) -> int:
        """How far, in pixels, a pixel of the result depends on the picture, statistics apart."""
        ends = self.stem // 2 + self.last // 2
        return ends + 2 * (1 + 2) + STRIDE * 8 + STRIDE  # halvings and doublings, eight convolutions, rounding

    def to_dict(self) -> dict:
        """JSON values; `from_dict` reads them."""
        return asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Reads what `to_dict` wrote; other keys are left alone."""
        return cls(tuple(values["widths"]), values["stem"], values["last"])


def conv(before: int, after: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, but for its stride; pictures are reflected at their borders."""
    return nn.Conv2d(before, after, kernel, stride=stride, groups=groups, padding=kernel // 2, padding_mode="reflect")


class Residual(nn.Module):
    """Two convolutions of 3 x 3 beside a direct way."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """The same with each convolution's result multiplied, and its input added, by as much as a style says.

        Args:
            x: (B, C, h, w).
            scale, shift: (B, C, 1, 1).
        """
        hidden = F.relu(scale * self.first(x) + shift * x)
        return x + scale * self.second(hidden) + shift * hidden


class Encoder(nn.Module):
    """From a picture to its features at a quarter of its size, at two depths."""

    def __init__(self, config: FastConfig):
        super().__init__()
        first, second, third = config.widths
        self.stem = conv(3, first, config.stem)
        self.to_half = conv(first, second, stride=2, groups=first)
        self.mix_half = conv(second, second, 1)
        self.to_quarter = conv(second, third, stride=2, groups=second)
        self.mix_quarter = conv(third, third, 1)
        self.shallow, self.deep = Residual(third), Residual(third)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in (self.stem, self.to_half, self.mix_half, self.to_quarter, self.mix_quarter):
            x = F.relu(layer(x))
        shallow = self.shallow(x)
        return shallow, self.deep(shallow)


class Modulator(nn.Module):
    """What a residual block is modulated with, from the features of a style: (B, C, h, w) to (B, 2 C)."""

    def __init__(self, width: int):
        super().__init__()
        self.scale, self.shift = conv(width, width, groups=width), conv(width, width, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.scale(x).mean((2, 3)), self.shift(x).mean((2, 3))], 1)


class Decoder(nn.Module):
    """From features, restyled, to a picture of four times the size."""

    def __init__(self, config: FastConfig):
        super().__init__()
        first, second, third = config.widths
        self.deep, self.shallow = Residual(third), Residual(third)
        self.to_half, self.mix_half = conv(third, second, groups=second), conv(second, second, 1)
        self.to_full, self.mix_full = conv(second, first, groups=first), conv(first, first, 1)
        self.last = conv(first, 3, config.last)

    def forward(self, x: Tensor, code: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        deep, shallow = code.chunk(2, 1)
        wanted_deep, wanted_shallow = statistics.chunk(2, 1)
        x, used_deep = restyle(x, deep.chunk(2, 1)[0], wanted_deep)
        x = self.deep.modulated(x, *_planes(deep.chunk(2, 1)[1]))
        x, used_shallow = restyle(x, shallow.chunk(2, 1)[0], wanted_shallow)
        x = self.shallow.modulated(x, *_planes(shallow.chunk(2, 1)[1]))
        for layer, mix in ((self.to_half, self.mix_half), (self.to_full, self.mix_full)):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.relu(mix(F.relu(layer(x))))
        return self.last(x), torch.cat([used_deep, used_shallow], 1)


class FastNetwork(nn.Module):
    """Paints any content in any style, in one pass. Pictures are (B, 3, H, W), RGB in 0..1, of 16 pixels or more.

    `network(contents, styles)` is both steps at once.
    """

    def __init__(self, config: FastConfig = FastConfig()):
        super().__init__()
        self.config = config
        self.content, self.style, self.decoder = Encoder(config), Encoder(config), Decoder(config)
        self.modulators = nn.ModuleList([Modulator(config.widths[2]), Modulator(config.widths[2])])  # deep, shallow

    def encode(self, styles: Tensor) -> Tensor:
        """(B, K) codes: for the deep features and then the shallow ones mean, deviation, scale and shift."""
        shallow, deep = self.style(styles)
        parts = zip((deep, shallow), self.modulators, strict=True)
        return torch.cat([part for x, modulator in parts for part in (moments(x), modulator(x))], 1)

    def paint(self, contents: Tensor, codes: Tensor, statistics: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Paints contents in the styles of codes.

        Args:
            contents: (B, 3, H, W).
            codes: (B, K).
            statistics: (B, M) to normalize contents with; not a number where they are to be taken from these contents.

        Returns:
            (B, 3, H, W), which may leave 0..1 a little, and (B, M), the statistics that were used.
        """
        if statistics is None:
            statistics = contents.new_full((len(contents), self.config.statistics), torch.nan)
        _, deep = self.content(contents)
        pictures, used = self.decoder(deep, codes, statistics)
        return pictures[:, :, : contents.shape[2], : contents.shape[3]], used

    def forward(self, contents: Tensor, styles: Tensor) -> Tensor:
        return self.paint(contents, self.encode(styles))[0]


def open_fast(model: Model) -> FastNetwork:
    """A released network, in evaluation mode.

    Raises:
        ModelError: its model.json or its weights are not those of such a network.
    """
    try:
        network = FastNetwork(FastConfig.from_dict(model.value("architecture", dict)))
    except (KeyError, TypeError, ValueError) as error:
        raise model.lacks("architecture") from error
    load_weights(network, model.file("weights.safetensors"))
    return network.eval()


def moments(x: Tensor) -> Tensor:
    """Mean and deviation of each channel: (B, C, h, w) to (B, 2 C)."""
    mean = x.mean((2, 3))
    variance = (x - mean[..., None, None]).square().mean((2, 3))
    return torch.cat([mean, (variance + EPSILON).sqrt()], 1)


def restyle(x: Tensor, wanted: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Gives each channel another mean and deviation (adaptive instance normalization).

    Args:
        x: (B, C, h, w).
        wanted: (B, 2 C) as `moments` gives them.
        statistics: (B, 2 C) that x is taken to have; not a number where it is to be worked out.

    Returns:
        The features and the statistics.
    """
    used = torch.where(statistics.isnan(), moments(x), statistics)
    mean, deviation = _planes(used)
    wanted_mean, wanted_deviation = _planes(wanted)
    return (x - mean) * (wanted_deviation / deviation) + wanted_mean, used


def _planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2 C) as two (B, C, 1, 1)."""
    first, second = x[..., None, None].chunk(2, 1)
    return first, second


class StyleInput(nn.Module):
    """(1, H, W, 3) uint8 RGB to the code of a style, (1, K)."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.encode(from_bytes(pixels))


class ContentInput(nn.Module):
    """(1, H, W, 3) uint8 RGB, a code (1, K) and statistics (1, M) to a picture (1, H, W, 3) in 0..1 and statistics."""

    def __init__(self, network: FastNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, code: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        picture, used = self.network.paint(from_bytes(pixels), code, statistics)
        return picture.permute(0, 2, 3, 1), used


def from_bytes(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in 0..1."""
    return pixels.permute(0, 3, 1, 2).float() / 255
