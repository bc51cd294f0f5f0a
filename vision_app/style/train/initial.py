"""The networks that training starts from and learns from. Needs torch."""

import hashlib
from dataclasses import replace
from pathlib import Path

from torch import nn

from vision_app.core.files import read_bytes
from vision_app.released.find import WEIGHTS, find
from vision_app.style.fast import TASK
from vision_app.style.model.features import EncoderConfig, EncoderNetwork, load_encoder
from vision_app.style.model.network import FastNetwork, open_fast
from vision_app.training.initialize import initialize


def initial_encoder(initial: Path | None, heads: tuple[int, ...]) -> EncoderNetwork:
    """Return the encoder that training starts from.

    A head that is missing starts as the identity where that fits, since an encoder that starts from its teacher has the
    teacher's features.

    Args:
        initial: An encoder, by name or folder; None: random weights.
        heads: Channels of the teacher's layers.

    Raises:
        ModelError: There is no such model, or it is not an encoder.
    """
    if initial is None:
        network = EncoderNetwork(EncoderConfig(heads=heads))
        initialize(network, "he")
        return network
    start = load_encoder(initial)
    network = EncoderNetwork(replace(start.config, heads=heads))
    network.convs.load_state_dict(start.convs.state_dict())
    network.mean.copy_(start.mean)
    network.deviation.copy_(start.deviation)
    for name, head in network.heads.items():
        assert isinstance(head, nn.Conv2d) and head.bias is not None
        known = dict(start.heads.items()).get(name)
        if known is not None and known.out_channels == head.out_channels:
            head.load_state_dict(known.state_dict())
        elif head.in_channels == head.out_channels:
            nn.init.dirac_(head.weight)
            nn.init.zeros_(head.bias)
    return network.requires_grad_(True)


def initial_fast(initial: Path | None) -> FastNetwork:
    """Return the fast network that training starts from.

    Args:
        initial: A fast network, by name or folder; None: random weights.

    Raises:
        ModelError: There is no such model, or it is not a fast network.
    """
    if initial is None:
        network = FastNetwork()
        initialize(network, "he")
        return network
    return open_fast(find(initial, TASK)).requires_grad_(True)


def identity(path: Path | None) -> str:
    """Return the name and a digest of the weights of a model, a file or a folder of models, wherever it lies."""
    if path is None:
        return "none"
    if str(path) == "vgg19":  # whose weights are checked when they are downloaded
        return "vgg19"
    if path.is_file():
        files = [path]
    elif path.is_dir() and not (path / "model.json").exists():
        files = sorted(path.glob(f"*/{WEIGHTS}"))
    else:
        files = [find(path).file(WEIGHTS)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(read_bytes(file)).digest() for file in files))
    return f"{path.name} {digest.hexdigest()[:12]}"
