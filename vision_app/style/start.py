"""Networks that others published, read as ours: to start from, to learn from and to measure against."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vision_app.errors import DataError
from vision_app.style.features import STYLE_LAYERS, EncoderConfig, EncoderNetwork
from vision_app.style.network import FastConfig, FastNetwork

DISTILLED = "vgg19_small_encoder{depth}.pth"
ENDING = ".conv_layer"  # of the names of MicroAST's convolutions


def distilled_encoder(folder: Path, depth: int = 5) -> EncoderNetwork:
    """VGG-19 distilled to a sixteenth of its cost (Wang et al., Collaborative Distillation, CVPR 2020; MIT License).

    Args:
        folder: holds `vgg19_small_encoder1.pth` to `vgg19_small_encoder5.pth`.
        depth: blocks of the network wanted; the fewer, the better its last one knows VGG-19's.

    Returns:
        Has heads of VGG-19's widths for conv1_1 ... of its depth.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    path = folder / DISTILLED.format(depth=depth)
    weights = _read(path)
    try:
        weights = weights["model"]
        names = {key[4:].removesuffix(".weight") for key in weights if key.endswith(".weight") and "aux" not in key}
        names = sorted(names - {"0"})  # "11", "12", "21" and on: block and place
        widths = tuple(len(weights[f"conv{block}1.weight"]) for block in range(1, depth + 1))
        depths = tuple(sum(name.startswith(str(block)) for name in names) for block in range(1, depth + 1))
        network = EncoderNetwork(EncoderConfig(widths=widths, depths=depths))
        for (name, conv), theirs in zip(network.convs.items(), names, strict=True):
            if name.replace("_", "") != f"conv{theirs}":
                raise KeyError(f"conv{theirs}")
            _fill(conv, weights, f"conv{theirs}")
        _fold(network.convs["conv1_1"], weights["conv0.weight"], weights["conv0.bias"])
        for name in STYLE_LAYERS[:depth]:
            theirs = name.replace("_", "") + "_aux"
            head = nn.Conv2d(network.convs[name].out_channels, len(weights[theirs + ".bias"]), 1)
            network.heads[name] = _fill(head, weights, theirs)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{path}: not a distilled encoder of VGG-19 ({error})") from error
    return network.eval().requires_grad_(False)


def micro_ast(folder: Path) -> FastNetwork:
    """MicroAST (Wang et al., AAAI 2023; MIT License) as published.

    Args:
        folder: holds `microast_content_encoder.pth`, `_style_encoder`, `_modulator` and `_decoder`.

    Raises:
        DataError: a file cannot be read or holds something else.
    """
    network = FastNetwork(FastConfig(kernel=9))
    encoder = {
        "stem": "enc1.0",
        "to_half": "enc1.2",
        "mix_half": "enc1.4",
        "to_quarter": "enc1.6",
        "mix_quarter": "enc1.8",
    }
    encoder |= _residual("shallow", "enc1.10") | _residual("deep", "enc2.0")
    decoder = {"to_half": "dec3.1", "mix_half": "dec3.3", "to_full": "dec3.6", "mix_full": "dec3.8", "last": "dec3.10"}
    decoder |= _residual("deep", "dec1") | _residual("shallow", "dec2")
    modulators = {"0.scale": "weight2.0", "0.shift": "bias2.0", "1.scale": "weight1.0", "1.shift": "bias1.0"}
    for part, file, names in (
        (network.content, "content_encoder", encoder),
        (network.style, "style_encoder", encoder),
        (network.modulators, "modulator", modulators),
        (network.decoder, "decoder", decoder),
    ):
        path = folder / f"microast_{file}.pth"
        weights = _read(path)
        try:
            for ours, theirs in names.items():
                _fill(part.get_submodule(ours), weights, theirs + ENDING)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise DataError(f"{path}: not a part of MicroAST ({error})") from error
    return network


def _residual(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.first": f"{theirs}.conv1", f"{ours}.second": f"{theirs}.conv2"}


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # what torch's reader raises of a file that is none is not told
        raise DataError(f"{path}: no file of weights ({error})") from error


def _fill(conv: nn.Conv2d, weights: Mapping[str, Tensor], name: str) -> nn.Conv2d:
    conv.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
    return conv


@torch.no_grad()
def _fold(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Lets a convolution do what a 1 x 1 one in front of it did; exact, because both meet reflected borders."""
    conv.bias += torch.einsum("oihw,i->o", conv.weight, bias)
    conv.weight.copy_(torch.einsum("oihw,ij->ojhw", conv.weight, weight[:, :, 0, 0]))
