"""Make a grid detector smaller: its backbone's last stage keeps its first blocks only."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from vision_app.detection.model.yolo import YOLO

RIDGE = 1e-4  # relative to the mean variance of the inputs


@torch.no_grad()
def shortened(network: YOLO, blocks: int, batches: Iterable[Tensor]) -> YOLO:
    """Return the same network with fewer blocks in the backbone's last stage.

    The convolution that takes the stage's map, `neck.lateral5`, is fitted to give what it gave before, by ridge
    regression over the pixels of real activations. Training removes the rest of the difference.

    Args:
        network: Stays as it is, but is put in evaluation mode.
        blocks: Number of blocks of the last stage, at least 1.
        batches: Images as the network takes them; two hundred images are plenty.

    Returns:
        A smaller network, or the same one where it has no more blocks.
    """
    depths = network.config.depths
    if depths[-1] <= blocks:
        return network
    network.eval()
    short = YOLO(replace(network.config, depths=(*depths[:-1], blocks))).eval()
    before = network.state_dict()
    short.load_state_dict({name: before[name] for name in short.state_dict()})
    unit, old = short.neck.lateral5, network.neck.lateral5
    inputs: list[Tensor] = []
    wanted: list[Tensor] = []
    hooks = [
        unit.conv.register_forward_hook(lambda layer, arguments, output: inputs.append(_rows(arguments[0]))),
        old.conv.register_forward_hook(lambda layer, arguments, output: wanted.append(_rows(output))),
    ]
    for batch in batches:
        short(batch)
        network(batch)
    for hook in hooks:
        hook.remove()
    _fit(unit.conv, unit.norm, torch.cat(inputs), torch.cat(wanted))
    return short


def _rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B H W, C) float64."""
    return maps.movedim(1, -1).flatten(0, 2).double()


def _fit(layer: nn.Conv2d, norm: nn.BatchNorm2d, inputs: Tensor, wanted: Tensor) -> None:
    """Set the weights of a 1 x 1 convolution without bias to those that map inputs nearest to what is wanted.

    The constant goes into the mean of the batch norm behind it.
    """
    mean, goal = inputs.mean(0), wanted.mean(0)
    centered = inputs - mean
    square = centered.T @ centered
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square))
    weight: Tensor = torch.linalg.solve(square, centered.T @ (wanted - goal)).T
    layer.weight.copy_(weight[:, :, None, None])
    norm.get_buffer("running_mean").sub_(goal - weight @ mean)
