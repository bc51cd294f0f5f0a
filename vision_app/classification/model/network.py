"""The classifier as a torch module: the grid detector's outputs for all cells, pooled to one for the image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vision_app.core.timing import Stages
from vision_app.detection.grid import FIRST_CLASS, P_C, T_W, T_X
from vision_app.detection.model.yolo import YOLO, YOLOConfig, to_floats
from vision_app.released.find import Model

SCALE, BIAS = 4.0, 1.0  # initial values that about fit photos of VOC: a sum of 0.37 makes a class 50 % probable
SMALLEST = 1e-30  # added to sums that may be too small for single precision


class ClassifierNetwork(YOLO):
    """Tells which classes are in an image, and which anchor box holds the best object.

    With s_ni = p_c c_i of row n of the grid, the logit of class i is

        z_i = w_i S_i + u_i x + b_i,    S_i = 1/4 ln(sum_n s_ni^4)

    S_i is a smooth maximum of ln s_ni: a small object counts as much as a large one, and many doubtful ones for a
    little more than one. (The power 4 ranks images better than 2 or 8 do, and costs two multiplications.) x is the
    mean of the backbone's last map, which knows the scene. At first u is 0, so that each class ranks images nearly as
    the detector's best score of it does.

    Input (B, 3, H, W), RGB in 0..1, H and W multiples of 32. Output (B, 5 + p), columns
    `(n, t_x, t_y, t_h, t_w, z_1 ... z_p)`: logits, and row n of `grid` with its offsets, whose score of the most
    probable class is the highest.
    """

    def __init__(self, config: YOLOConfig):
        super().__init__(config)
        self.scale = nn.Parameter(torch.full((config.classes,), SCALE))
        self.context = nn.Linear(self.backbone.channels[-1], config.classes)
        nn.init.zeros_(self.context.weight)
        nn.init.constant_(self.context.bias, BIAS)

    def forward(self, images: Tensor) -> Tensor:
        """Return the (B, 5 + p) output of (B, 3, H, W) images."""
        features: Sequence[Tensor] = self.backbone(images)
        rows = self.answer(self.neck(features))  # (B, N, 5 + p)
        with torch.autocast(images.device.type, enabled=False):
            rows, context = rows.float(), features[-1].float().mean(dim=(2, 3))
            classes = rows[..., FIRST_CLASS : FIRST_CLASS + self.config.classes]
            scores = rows[..., P_C, None].sigmoid() * classes.sigmoid()  # (B, N, p)
            pooled = (scores.square().square().sum(dim=1) + SMALLEST).log() / 4  # (B, p)
            logits = self.scale * pooled + self.context(context)
            best = _take(scores, logits.argmax(dim=1), dim=2).argmax(dim=1)  # (B,)
            offsets = _take(rows[..., T_X : T_W + 1], best, dim=1)  # (B, 4)
            return torch.cat([best[:, None].float(), offsets, logits], dim=1)

    def timed(self, pixels: Tensor, stages: Stages) -> Tensor:
        """Return the output of (B, H, W, 3) uint8 pixels, computed in one stage."""
        with stages.stage("network"):
            return self.forward(to_floats(pixels))


def _take(values: Tensor, index: Tensor, dim: int) -> Tensor:
    """Return each image's slice of values (B, N, c) at its index (B,) along a dimension, (B, c) or (B, N)."""
    shape = [-1, 1, values.shape[2]] if dim == 1 else [-1, values.shape[1], 1]
    return values.gather(dim, index.view(-1, 1, 1).expand(*shape)).squeeze(dim)


def from_detector(detector: YOLO) -> ClassifierNetwork:
    """Return a classifier that starts from a grid detector, whose classes it knows."""
    network = ClassifierNetwork(detector.config)
    network.load_state_dict(detector.state_dict(), strict=False)  # the pooling is new
    return network


def build_network(model: Model) -> ClassifierNetwork:
    """Return the network of a classifier with random weights; for `runtime`, which bounds it by the file of weights.

    Raises:
        ModelError: It has another one.
    """
    architecture = model.info["architecture"]
    if architecture.get("type") != "classifier":
        raise model.lacks("architecture.type")
    return ClassifierNetwork(YOLOConfig.from_dict(architecture))
