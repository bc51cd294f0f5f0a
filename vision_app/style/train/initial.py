"""Networks that others published, read as ours: to start from, to learn from and to measure against."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_app.core.errors import DataError, ModelError
from vision_app.released.find import find
from vision_app.released.write import WEIGHTS
from vision_app.style.fast import TASK as FAST_TASK
from vision_app.style.model.features import LAYERS, STYLE_LAYERS, EncoderConfig, EncoderNetwork
from vision_app.style.model.network import FastConfig, FastNetwork, from_bytes, open_fast
from vision_app.style.train.datasets import Photos
from vision_app.training.augment import random_numbers
from vision_app.training.initialize import initialize

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
    """MicroAST (Wang et al., AAAI 2023; MIT License) as published.

    Args:
        folder: holds `microast_content_encoder.pth`, `_style_encoder`, `_modulator` and `_decoder`.

    Raises:
        DataError: a file cannot be read or holds something else.
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
        weights = _read(path)
        try:
            for ours, theirs in names.items():
                _fill(part.get_submodule(ours), weights, theirs + ENDING)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise DataError(f"{path}: not a part of MicroAST ({error})") from error
    return network


def starting_fast(initial: Path | None, photos: Photos) -> FastNetwork:
    """The network that training starts from.

    Args:
        initial: a fast network of ours, by its name or folder; the folder of MicroAST's published weights, of which the
            last convolution is made smaller, see `shrink`; or None for fresh weights.
        photos: to make it smaller by.

    Raises:
        DataError, ModelError: `initial` is neither.
    """
    if initial is None:
        network = FastNetwork()
        initialize(network, "he")
        return network
    if is_published(initial):
        return shrink(micro_ast(initial), photos, FastConfig())
    return released_fast(initial).requires_grad_(True)


def released_fast(name: str | os.PathLike) -> FastNetwork:
    """A fast network of ours, by its name or folder.

    Raises:
        ModelError: there is no such model, or its file is damaged or not one of such a network.
    """
    model = find(name, FAST_TASK)
    if model.task != FAST_TASK:
        raise ModelError(f"model '{model.name}' is for {model.task}, not for painting")
    return open_fast(model)


@torch.no_grad()
def shrink(
    network: FastNetwork, photos: Photos, config: FastConfig, *, size: int = 128, count: int = 12
) -> FastNetwork:
    """The same network with a smaller first and last convolution: of all that fit, those whose results come nearest.

    That is linear regression (least squares) of what each convolution gives on the smaller windows that it sees.

    Args:
        network: stays as it is.
        photos: contents and what styles are made of.
        config: of the new network, which has the same widths.
        size, count: how many pictures are looked at, and at what size.
    """
    small = FastNetwork(config)
    small.load_state_dict({k: v for k, v in network.state_dict().items() if "stem" not in k and "last" not in k}, False)
    sums: dict[str, list] = {}

    def regress(name: str, kernel: int):
        def look(layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            windows = F.unfold(F.pad(inputs[0], (kernel // 2,) * 4, mode="reflect"), kernel)[0]  # (C kernel^2, N)
            windows = torch.cat([windows, torch.ones_like(windows[:1])]).double()
            seen, given = sums.setdefault(name, [0, 0])
            sums[name] = [seen + windows @ windows.T, given + windows @ output[0].flatten(1).double().T]

        return look

    kernels = {"content.stem": config.stem, "style.stem": config.stem, "decoder.last": config.last}
    layers = [(network.get_submodule(name), regress(name, kernel)) for name, kernel in kernels.items()]
    hooks = [layer.register_forward_hook(look) for layer, look in layers]
    for index in range(count):
        random = random_numbers("shrink", index)
        content = photos.crop(index % len(photos), size, random)
        pictures = (np.ascontiguousarray(x) for x in (content, photos.invented(size, random)))
        network(*(from_bytes(torch.from_numpy(pixels)[None]) for pixels in pictures))
    for hook in hooks:
        hook.remove()
    for name, (seen, given) in sums.items():
        layer = small.get_submodule(name)
        ridge = 1e-6 * seen.diagonal().mean() * torch.eye(len(seen), dtype=seen.dtype)
        best = torch.linalg.solve(seen + ridge, given).float()  # (C kernel^2 + 1, K)
        layer.weight.copy_(best[:-1].T.reshape(layer.weight.shape))
        layer.bias.copy_(best[-1])
    return small


def is_published(path: Path) -> bool:
    """Whether this is a folder of files that others published, not a model folder or a name."""
    return path.is_dir() and not (path / "model.json").exists()


def identity(path: Path | None) -> str:
    """The name and a digest of the weights of a model, a file or a folder of published files; wherever they lie."""
    if path is None:
        return "none"
    if str(path) == "vgg19":  # whose weights are checked when they are fetched
        return "vgg19"
    if path.is_file():
        files = [path]
    elif is_published(path):
        files = sorted(path.glob("*.pth"))
    else:
        files = [find(path).file(WEIGHTS)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    return f"{path.name} {digest.hexdigest()[:12]}"


def _residual(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.first": f"{theirs}.conv1", f"{ours}.second": f"{theirs}.conv2"}


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # what torch's reader raises of a file that is none is not told
        raise DataError(f"{path}: no file of torch weights") from error


def _fill(conv: nn.Conv2d, weights: Mapping[str, Tensor], name: str) -> nn.Conv2d:
    conv.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
    return conv


@torch.no_grad()
def _fold(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Lets a convolution do what a 1 x 1 one in front of it did; exact, because both meet reflected borders."""
    conv.bias += torch.einsum("oihw,i->o", conv.weight, bias)
    conv.weight.copy_(torch.einsum("oihw,ij->ojhw", conv.weight, weight[:, :, 0, 0]))
