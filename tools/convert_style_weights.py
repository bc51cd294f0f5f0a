"""Convert published weights of style networks into model folders, to start from, to learn from and to compare with.

    python tools/convert_style_weights.py encoders PUBLISHED/ --output TEACHERS     # TEACHERS/1 to TEACHERS/5
    python tools/convert_style_weights.py micro-ast MICROAST/ --photos PHOTOS/ --output MODEL

`encoders` takes VGG-19 distilled to a sixteenth of its cost, five files that `train style-encoder --teacher` learns
from (Wang et al., Collaborative Distillation, CVPR 2020; MIT License). `micro-ast` takes the four files of MicroAST
(Wang et al., AAAI 2023; MIT License) and replaces the last convolution by a smaller one, fitted on photos, for
`train style-fast --initial`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.errors import DataError
from vision_app.style.model.features import LAYERS, STYLE_LAYERS, EncoderConfig, EncoderNetwork
from vision_app.style.model.network import FastConfig, FastNetwork, from_bytes
from vision_app.style.train.datasets import PhotoSet, hold_out, list_photos
from vision_app.style.train.export import write_encoder, write_fast
from vision_app.training.augment import random_numbers

DISTILLED = "vgg19_small_encoder{depth}.pth"
ENDING = ".conv_layer"  # of the names of MicroAST's convolutions


def distilled_encoder(folder: Path, depth: int = 5) -> EncoderNetwork:
    """Return a distilled VGG-19 as published.

    Args:
        folder: Contains `vgg19_small_encoder1.pth` to `vgg19_small_encoder5.pth`.
        depth: Number of blocks; the fewer, the better its last one reproduces VGG-19's.

    Returns:
        An encoder with heads of VGG-19's widths for conv1_1 ... of its depth.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    path = folder / DISTILLED.format(depth=depth)
    weights = read_weights(path)
    try:
        weights = weights["model"]
        names = {key[4:].removesuffix(".weight") for key in weights if key.endswith(".weight") and "aux" not in key}
        names = sorted(names - {"0"})  # "11", "12", "21" and so on: block and place
        widths = tuple(len(weights[f"conv{block}1.weight"]) for block in range(1, depth + 1))
        depths = tuple(sum(name.startswith(str(block)) for name in names) for block in range(1, depth + 1))
        heads = {name: weights.get(name.replace("_", "") + "_aux.bias", ()) for name in LAYERS}
        heads = {name: len(bias) if name in STYLE_LAYERS[:depth] else 0 for name, bias in heads.items()}
        network = EncoderNetwork(EncoderConfig(widths=widths, depths=depths, heads=tuple(heads.values())))
        for (name, conv), theirs in zip(network.convs.items(), names, strict=True):
            if name.replace("_", "") != f"conv{theirs}":
                raise KeyError(f"conv{theirs}")
            _fill(conv, weights, f"conv{theirs}")
        _fold(network.convs["conv1_1"], weights["conv0.weight"], weights["conv0.bias"])
        for name, head in network.heads.items():
            _fill(head, weights, name.replace("_", "") + "_aux")
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{path}: not a distilled encoder of VGG-19 ({error})") from error
    return network.eval().requires_grad_(False)


def micro_ast(folder: Path) -> FastNetwork:
    """Return MicroAST as published.

    Args:
        folder: Contains `microast_content_encoder.pth`, `_style_encoder`, `_modulator` and `_decoder`.

    Raises:
        DataError: A file cannot be read or holds something else.
    """
    network = FastNetwork(FastConfig(stem=9, last=9))
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
        weights = read_weights(path)
        try:
            for ours, theirs in names.items():
                _fill(part.get_submodule(ours), weights, theirs + ENDING)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise DataError(f"{path}: not a part of MicroAST ({error})") from error
    return network


@torch.no_grad()
def shrink(
    network: FastNetwork, photos: PhotoSet, config: FastConfig, *, size: int = 128, count: int = 12
) -> FastNetwork:
    """Return the network with a smaller first and last convolution, the best by least squares.

    That is linear regression of the output of each convolution on the smaller windows of its input.

    Args:
        network: Stays as it is.
        photos: Contents, and what styles are made of.
        config: Of the new network, which has the same widths.
        size: Side of the images, in pixels.
        count: Number of images.
    """
    small = FastNetwork(config)
    small.load_state_dict({k: v for k, v in network.state_dict().items() if "stem" not in k and "last" not in k}, False)
    sums: dict[str, list] = {}

    def regress(name: str, kernel: int):
        def collect(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            windows = F.unfold(F.pad(inputs[0], (kernel // 2,) * 4, mode="reflect"), kernel)[0]  # (C kernel^2, N)
            windows = torch.cat([windows, torch.ones_like(windows[:1])]).double()
            seen, given = sums.setdefault(name, [0, 0])
            sums[name] = [seen + windows @ windows.T, given + windows @ output[0].flatten(1).double().T]

        return collect

    kernels = {"content.stem": config.stem, "style.stem": config.stem, "decoder.last": config.last}
    layers = [(network.get_submodule(name), regress(name, kernel)) for name, kernel in kernels.items()]
    hooks = [layer.register_forward_hook(collect) for layer, collect in layers]
    for index in range(count):
        random = random_numbers("shrink", index)
        content = photos.crop(index % len(photos), size, random)
        images = (np.ascontiguousarray(x) for x in (content, photos.style(size, random)))
        network(*(from_bytes(torch.from_numpy(pixels)[None]) for pixels in images))
    for hook in hooks:
        hook.remove()
    for name, (seen, given) in sums.items():
        layer = small.get_submodule(name)
        ridge = 1e-6 * seen.diagonal().mean() * torch.eye(len(seen), dtype=seen.dtype)
        best = torch.linalg.solve(seen + ridge, given).float()  # (C kernel^2 + 1, K)
        layer.weight.copy_(best[:-1].T.reshape(layer.weight.shape))
        layer.bias.copy_(best[-1])
    return small


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read a file of torch weights without running any code in it.

    Raises:
        DataError: It cannot be read or is something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # torch does not say what it raises for other files
        raise DataError(f"{path}: not a file of torch weights") from error


def _residual(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.first": f"{theirs}.conv1", f"{ours}.second": f"{theirs}.conv2"}


def _fill(conv: nn.Conv2d, weights: Mapping[str, Tensor], name: str) -> None:
    conv.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})


@torch.no_grad()
def _fold(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Fold the 1 x 1 convolution in front of a convolution into it; exact, because both see reflected borders."""
    conv.bias += torch.einsum("oihw,i->o", conv.weight, bias)
    conv.weight.copy_(torch.einsum("oihw,ij->ojhw", conv.weight, weight[:, :, 0, 0]))


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=("encoders", "micro-ast"))
    parser.add_argument("folder", type=Path, help="contains the published files")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="for the model folders")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="those that train style-fast gets; for micro-ast")
    parser.add_argument("--seed", type=int, default=0, help="the training's, which holds the same photos out")
    arguments = parser.parse_args()
    output: Path = arguments.output
    if arguments.network == "encoders":
        for depth in range(1, len(STYLE_LAYERS) + 1):
            write_encoder(
                distilled_encoder(arguments.folder, depth), output / str(depth), name=f"VGG-19 distilled, {depth}",
                half=False, license="MIT",
            )  # fmt: skip
        return
    if arguments.photos is None:
        parser.error("micro-ast needs --photos")
    photos, _ = hold_out(list_photos([arguments.photos]), arguments.seed)
    write_fast(shrink(micro_ast(arguments.folder), photos, FastConfig()), output, name="MicroAST", license="MIT")


if __name__ == "__main__":
    main()
