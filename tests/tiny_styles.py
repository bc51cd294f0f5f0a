"""Tiny networks of styles with random weights, images to learn from, and the files that others publish."""

import cv2
import numpy as np
import skimage
import torch

from vision_app.core.images import write_image
from vision_app.style.model.features import EncoderConfig, EncoderNetwork
from vision_app.style.model.network import FastConfig, FastNetwork
from vision_app.style.train.export import write_encoder, write_fast
from vision_app.training.initialize import initialize

PLACES = ("11", "12", "21", "22", "31", "32", "33", "34", "41", "42", "43", "44", "51")  # block and place


def tiny_encoder(seed: int = 0, widths=(4, 6, 8, 8, 8), heads: tuple[int, ...] = ()) -> EncoderNetwork:
    torch.manual_seed(seed)
    network = EncoderNetwork(EncoderConfig(widths=widths, heads=heads))
    initialize(network, "he")
    return network.eval().requires_grad_(False)


def tiny_fast(seed: int = 0, side: int = 3) -> FastNetwork:
    torch.manual_seed(seed)
    network = FastNetwork(FastConfig(widths=(4, 8, 16), stem=side, last=side))
    initialize(network, "he")
    return network.eval()


def write_tiny_encoder(folder, seed: int = 0):
    """Write an encoder; returns its folder."""
    write_encoder(tiny_encoder(seed), folder, name=folder.name)
    return folder


def write_teachers(folder):
    """Write five encoders in the shape of the distilled ones of VGG-19; returns their folder."""
    blocks = ((1, 3), (2, 4), (3, 5), (4, 6), (4, 0), (5, 6))  # of each layer, and its width; 0 without a head
    for depth in range(1, 6):
        torch.manual_seed(depth)
        heads = tuple(width + 2 if width and block <= depth else 0 for block, width in blocks)
        config = EncoderConfig((3, 4, 5, 6, 6)[:depth], (*(2, 2, 4, 4)[: depth - 1], 1), heads=heads)
        network = EncoderNetwork(config)
        initialize(network, "he")
        write_encoder(network, folder / str(depth), name=str(depth), half=False)
    return folder


def write_tiny_fast(folder, seed: int = 0):
    """Write a fast network; returns its folder."""
    write_fast(tiny_fast(seed), folder, name=folder.name)
    return folder


def write_photos(folder, count: int = 6):
    """Write small parts of photos that packages ship; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = [cv2.resize(image, (256, 192)) for image in (skimage.data.coffee(), skimage.data.chelsea())]
    for i in range(count):
        write_image(
            folder / f"{i}.png", np.ascontiguousarray(shipped[i % 2][8 * i : 8 * i + 96, 16 * i : 16 * i + 112])
        )
    return folder


def write_distilled(folder, seed: int = 0) -> list[dict]:
    """Write five files in the shape of the distilled encoders of VGG-19; returns what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    random, written = torch.Generator().manual_seed(seed), []
    for depth in range(1, 6):
        widths, weights = (3, 4, 5, 6, 6)[:depth], {}

        def add(name, after, before, kernel, weights=weights):
            scale = (2 / (before * kernel * kernel)) ** 0.5
            weights[f"{name}.weight"] = scale * torch.randn(after, before, kernel, kernel, generator=random)
            weights[f"{name}.bias"] = 0.1 * torch.randn(after, generator=random)

        add("conv0", 3, 3, 1)
        before = 3
        for place in (place for place in PLACES if int(place[0]) < depth or place == f"{depth}1"):
            add(f"conv{place}", widths[int(place[0]) - 1], before, 3)
            before = widths[int(place[0]) - 1]
        for block, width in enumerate(widths, 1):
            add(f"conv{block}1_aux", width + 2, width, 1)
        torch.save({"epoch": 1, "model": weights}, folder / f"vgg19_small_encoder{depth}.pth")
        written.append(weights)
    return written


def write_micro_ast(folder, seed: int = 0) -> dict[str, dict]:
    """Write four files in the shape of MicroAST's, random; returns what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(seed)

    def part(*layers):
        weights = {}
        for name, after, before, kernel in layers:
            scale = (1 / (before * kernel * kernel)) ** 0.5
            weights[f"{name}.conv_layer.weight"] = scale * torch.randn(after, before, kernel, kernel, generator=random)
            weights[f"{name}.conv_layer.bias"] = 0.1 * torch.randn(after, generator=random)
        return weights

    def residual(name):
        return ((f"{name}.conv1", 64, 64, 3), (f"{name}.conv2", 64, 64, 3))

    encoder = (
        ("enc1.0", 16, 3, 9), ("enc1.2", 32, 1, 3), ("enc1.4", 32, 32, 1), ("enc1.6", 64, 1, 3), ("enc1.8", 64, 64, 1),
        *residual("enc1.10"), *residual("enc2.0"),
    )  # fmt: skip
    decoder = (
        *residual("dec1"), *residual("dec2"), ("dec3.1", 32, 2, 3), ("dec3.3", 32, 32, 1), ("dec3.6", 16, 2, 3),
        ("dec3.8", 16, 16, 1), ("dec3.10", 3, 16, 9),
    )  # fmt: skip
    modulator = [(f"{kind}{i}.0", 64, 1, 3) for kind in ("weight", "bias") for i in (1, 2)]
    parts = {"content_encoder": encoder, "style_encoder": encoder, "decoder": decoder, "modulator": modulator}
    written = {name: part(*layers) for name, layers in parts.items()}
    for name, weights in written.items():
        torch.save(weights, folder / f"microast_{name}.pth")
    return written
