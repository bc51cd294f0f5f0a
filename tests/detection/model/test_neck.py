"""The necks: the sizes of their maps."""

import torch

from vision_app.detection.model.backbone import ShuffleBackbone
from vision_app.detection.model.neck import LightPathAggregation


def test_maps_have_the_sizes_of_the_grid_also_where_64_does_not_divide():
    backbone = ShuffleBackbone(4, (2, 2, 1)).eval()
    maps = backbone(torch.rand(1, 3, 96, 160))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 12, 20), (32, 6, 10), (64, 3, 5)]
    maps = LightPathAggregation(backbone.channels).eval()(maps)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 12, 20), (16, 6, 10), (16, 3, 5), (16, 2, 3)]
