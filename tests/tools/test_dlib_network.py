"""dlib's network is read from its own file, without dlib."""

import numpy as np
import pytest
import torch
from dlib_network import load_dlib
from torch.nn import functional as F

from vision_app.core.errors import ModelError

STAGES = [(32, 3), (64, 4), (128, 3), (256, 3), (256, 1)]


def packed(number: int) -> bytes:
    content = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([len(content)]) + content


def tensor(name: bytes, values: np.ndarray, *before: int) -> bytes:
    sizes = [2, values.size, 1, 1, 1] if name != b"fc_2" else [2, *values.shape, 1, 1]
    return bytes([1, len(name)]) + name + b"".join(map(packed, [*before, *sizes])) + values.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def written():
    """Random weights, in the order from input to output, and dlib's file of them."""
    rng, layers, content = np.random.default_rng(0), [], b"\x01\x01\rloss_metric_2"

    def add(inputs: int, outputs: int, size: int) -> bytes:
        scale = np.sqrt(2 / (inputs * size * size))
        weight = rng.normal(0, scale, (outputs, inputs, size, size)).astype(np.float32)
        bias, gamma, beta = (rng.normal(mean, 0.1, outputs).astype(np.float32) for mean in (0, 0.5, 0))
        layers.append((weight, bias, gamma, beta))
        return tensor(b"con_4", np.r_[weight.ravel(), bias]) + tensor(b"affine_", np.r_[gamma, beta])

    content += add(3, 32, 7)
    inputs = 32
    for width, depth in STAGES:
        for _ in range(depth):
            content += add(inputs, width, 3) + add(width, width, 3)
            inputs = width
    last = rng.normal(0, 0.1, (256, 128)).astype(np.float32)
    return layers, last, content + tensor(b"fc_2", last, 128, 256)


def test_every_weight_is_where_dlib_uses_it(written, tmp_path):
    layers, last, content = written
    (tmp_path / "dlib.dat").write_bytes(content)
    network = load_dlib(tmp_path / "dlib.dat")
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 150, 150))).float()

    # dlib's network, layer by layer as its documentation draws it.
    todo = iter([tuple(map(torch.from_numpy, layer)) for layer in layers])

    def unit(x, stride, padding):
        weight, bias, gamma, beta = next(todo)
        return F.conv2d(x, weight, bias, stride, padding) * gamma[:, None, None] + beta[:, None, None]

    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)
    x = F.max_pool2d(F.relu(unit((pixels - mean) / 256, 2, 0)), 3, 2)
    for stage, (_, depth) in enumerate(STAGES):
        for place in range(depth):
            down = stage > 0 and place == 0
            y = unit(F.relu(unit(x, 2 if down else 1, 0 if down else 1)), 1, 1)
            x = F.avg_pool2d(x, 2) if down else x
            wanted = torch.zeros(2, y.shape[1], *x.shape[2:])
            wanted[:, : x.shape[1]] += x
            wanted[:, :, : y.shape[2], : y.shape[3]] += y
            x = F.relu(wanted)
    wanted = x.mean((2, 3)) @ torch.from_numpy(last)

    with torch.inference_mode():
        found = network(pixels)
    scale = wanted.abs().max().item()
    assert found.numpy() == pytest.approx(wanted.numpy(), abs=1e-4 * scale)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-4], "damaged or of another version"),
        (lambda content: b"nothing", "0 layers, expected 59"),
        (lambda content: content[: content.rindex(b"fc_2")], "58 layers, expected 59"),
    ],
)
def test_another_file_is_refused_by_name(written, tmp_path, change, reason):
    path = tmp_path / "other.dat"
    path.write_bytes(change(written[2]))
    with pytest.raises(ModelError, match=rf"other\.dat: not dlib's face recognition network \({reason}\)"):
        load_dlib(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.dat: .*No such file"):
        load_dlib(tmp_path / "gone.dat")
