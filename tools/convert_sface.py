"""Make what training a face embedder from SFace's network needs: a smaller network, and a teacher's answers.

    python tools/convert_sface.py SFACE.onnx --data PEOPLE/ --output START
    vision-app train faces --data START/crops.npz --initial START/initial --teacher START/teacher.npz --output RUN

SFACE.onnx is face_recognition_sface_2021dec_int8bq.onnx of the OpenCV Zoo (Zhong et al., SFace, 2021; Apache-2.0),
whose weights are stored in blocks of 8 bits. Its last linear layer, two thirds of all weights, is made small by
projecting the last feature map's channels on their principal directions. `--data` takes what `vision-app train faces`
takes; crops.npz is written for photos.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from face_start import judged, make_parser, run, write_start
from torch.nn import functional as F

from vision_app.core.errors import ModelError
from vision_app.detection.train.initial import name_and_digest
from vision_app.faces.align import TEMPLATE
from vision_app.faces.model.mobile import MobileFaceConfig, MobileFaceNetwork
from vision_app.faces.train.crops import FaceCrops
from vision_app.faces.train.teacher import Teacher

BATCH = 50  # faces that go through the network together
RIDGE = 1e-6  # of the mean of the diagonal, so that the metric can be factorized
EPSILON = 2e-5  # of the batch norms around the linear layer
WHOLE = MobileFaceConfig(bottleneck=0)


def load_sface(path: Path) -> MobileFaceNetwork:
    """Return SFace's network in evaluation mode, with its batch norms folded into the layers beside them.

    Raises:
        ModelError: The file is not that network.
    """
    import onnx

    try:
        graph = onnx.load(path).graph
        network = MobileFaceNetwork(WHOLE).eval()
        with torch.no_grad():
            _fill(network, graph.node, _constants(graph))
    except Exception as error:  # Protobuf's own among them
        raise ModelError(f"{path}: not SFace's network ({error})") from error
    return network


def _constants(graph: Any) -> dict[str, np.ndarray]:
    """Return every tensor of a graph that depends on no input, by name."""
    from onnx import numpy_helper

    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            codes, scale, zero = (values[name].astype(np.float32) for name in node.input)
            facts = _attributes(node)
            axis, block = facts["axis"], facts["block_size"]
            inside = tuple(slice(0, length) for length in codes.shape)
            scale, zero = (np.repeat(one, block, axis)[inside] for one in (scale, zero))
            values[node.output[0]] = (codes - zero) * scale
        elif node.op_type == "Reshape" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].reshape(values[node.input[1]])
    return values


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _fill(network: MobileFaceNetwork, nodes: Sequence[Any], values: dict[str, np.ndarray]) -> None:
    """Copy the weights of convolutions, slopes and the linear layer with what stands around them."""
    following = {name: node for node in nodes for name in node.input}
    units = [network.stem, *(unit for block in network.blocks for unit in block)]
    for (convolution, slopes), node in zip(units, [one for one in nodes if one.op_type == "Conv"], strict=True):
        norm = following[node.output[0]]
        factor, shift = _affine([values[name] for name in norm.input[1:]], _attributes(norm)["epsilon"])
        weight = values[node.input[1]] * factor[:, None, None, None]
        convolution.weight.copy_(torch.from_numpy(weight).view_as(convolution.weight))
        convolution.bias.copy_(torch.from_numpy(shift))
        slopes.weight.copy_(torch.tensor(values[following[norm.output[0]].input[1]].ravel()))
    (linear,) = (node for node in nodes if node.op_type == "Gemm")
    weight, bias = (values[name].astype(np.float64) for name in linear.input[1:])
    parts = ("gamma", "beta", "moving_mean", "moving_var")
    (before, moved), (after, at) = (
        _affine([values[f"{name}_{part}"].astype(np.float64) for part in parts], EPSILON) for name in ("bn1", "fc1")
    )
    weight = weight.reshape(len(weight), len(before), -1)  # (D, C, places)
    bias = after * (bias + np.einsum("dcp,c->d", weight, moved)) + at
    weight = weight * before[:, None] * after[:, None, None]
    network.embedding.weight.copy_(torch.from_numpy(weight).flatten(1))
    network.embedding.bias.copy_(torch.from_numpy(bias))


def _affine(norm: Sequence[np.ndarray], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor and the shift of a batch norm with its scale, offset, mean and variance."""
    scale, offset, mean, variance = norm
    factor = scale / np.sqrt(variance + epsilon)
    return factor, offset - mean * factor


@torch.no_grad()
def reduced(whole: MobileFaceNetwork, chips: np.ndarray, width: int) -> MobileFaceNetwork:
    """Return the same network with a smaller linear layer behind a reduction of the channels.

    With channels x of mean m and covariance S, and the linear layer's weights W_p at place p, the error of keeping x
    in a subspace is smallest, summed over places as if they did not depend on each other, for the leading eigenvectors
    V of L^T S L with L L^T = sum_p W_p^T W_p: x becomes m + L^-T V V^T L^T (x - m).

    Args:
        whole: A network without a reduction.
        chips: (N, 112, 112, 3) uint8 aligned faces that determine mean and covariance.
        width: Channels to keep.
    """
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(chips), BATCH):
        pixels = torch.from_numpy(np.ascontiguousarray(chips[start : start + BATCH])).permute(0, 3, 1, 2).float()
        rows = whole.features(pixels).movedim(1, -1).flatten(0, 2).double()  # (places, C)
        count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.T @ rows
    mean = total / count
    covariance = squares / count - torch.outer(mean, mean)
    weight = whole.embedding.weight.double().unflatten(1, (len(mean), -1))  # (D, C, places)
    metric = torch.einsum("dcp,dep->ce", weight, weight)
    factor = torch.linalg.cholesky(metric + RIDGE * metric.diagonal().mean() * torch.eye(len(mean)))
    directions = torch.linalg.eigh(factor.T @ covariance @ factor)[1].flip(1)[:, :width]  # (C, width)
    down, up = directions.T @ factor.T, torch.linalg.solve_triangular(factor.T, directions, upper=True)
    small = MobileFaceNetwork(replace(whole.config, bottleneck=width)).eval()
    small.stem.load_state_dict(whole.stem.state_dict())
    small.blocks.load_state_dict(whole.blocks.state_dict())
    small.reduce.weight.copy_(down[:, :, None, None])
    small.reduce.bias.copy_(-down @ mean)
    small.embedding.weight.copy_(torch.einsum("dcp,cw->dwp", weight, up).flatten(1))
    small.embedding.bias.copy_(whole.embedding.bias + torch.einsum("dcp,c->d", weight, mean))
    return small


def convert(path: Path, crops: FaceCrops, output: Path, width: int = MobileFaceConfig.bottleneck) -> None:
    """Write the model folder `initial` and the file `teacher.npz` into a folder.

    Args:
        path: SFace's file.
        crops: N faces to learn from.
        output: The folder.
        width: Channels to keep before the linear layer.

    Raises:
        ModelError: The file is not that network.
    """
    network = load_sface(path)
    identity = name_and_digest(path)
    small = reduced(network, crops.chips[judged(crops)], width)
    answers = F.normalize(torch.from_numpy(Teacher(network, identity).answers(crops.chips))).numpy()
    about = {"learned_from": [identity], "license": "Apache-2.0", "mirrored": False}
    write_start(small, answers, crops, output, **about)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__, "SFACE.onnx", "SFace's")
    parser.add_argument("--width", type=int, default=MobileFaceConfig.bottleneck, help="channels before the last layer")
    run(parser, words, TEMPLATE, lambda given, crops: convert(given.network, crops, given.output, given.width))


if __name__ == "__main__":
    main()
