import numpy as np
import pytest
import torch
from torch import nn

from vision_app.detection.grid import make_grid
from vision_app.detection.model.backbone import STRIDES
from vision_app.detection.model.blocks import CSPStage, SpatialPyramidPooling
from vision_app.detection.model.heads import DecoupledHead
from vision_app.detection.model.neck import PathAggregation
from vision_app.detection.model.yolo import LAYOUTS, YOLO, ByteInput, TorchGrid, YOLOConfig

ANCHORS = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
K = 2  # landmarks
SMALL = YOLOConfig(classes=3, anchors=ANCHORS, width=4, depths=(1, 1, 1, 1))


FOUR_SCALES = tuple(((4.0 * s, 3.0 * s), (6.0 * s, 8.0 * s)) for s in (8, 16, 32, 64))


@pytest.fixture
def network() -> YOLO:
    torch.manual_seed(0)
    return YOLO(SMALL).eval()


def test_one_row_for_every_anchor_of_the_grid(network):
    assert network(torch.rand(2, 3, 96, 64)).shape == (2, len(make_grid(96, 64, STRIDES, ANCHORS).cells), 5 + 3)


@pytest.mark.parametrize("shape", [(64, 64), (96, 160)])
def test_a_shuffle_network_gives_a_row_for_every_anchor_of_four_scales(shape):
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(3, FOUR_SCALES, "shuffle", width=4, depths=(2, 2, 1))).eval()
    with torch.no_grad():
        rows = network(torch.rand(2, 3, *shape))
    assert rows.shape == (2, len(make_grid(*shape, (8, 16, 32, 64), FOUR_SCALES).cells), 8)


def test_the_released_network_has_so_many_parameters():
    network = YOLO(YOLOConfig(80, tuple(anchors[:1] for anchors in FOUR_SCALES), "shuffle"))
    assert sum(p.numel() for p in network.parameters()) == 993_103


def test_a_head_lays_its_maps_into_rows_of_cells_and_anchors():
    torch.manual_seed(1)
    head = DecoupledHead(8, 8, 3, ((1.0, 1.0), (2.0, 2.0)), 8).eval()
    x = torch.rand(1, 8, 4, 5)
    rows = head(x)[0]
    features = head.stem(x)
    box_features = head.box_branch(features)
    p_c, t, c = (
        head.objectness(box_features),
        head.offsets(box_features),
        head.class_logits(head.class_branch(features)),
    )
    for y in range(4):
        for column in range(5):
            for k in range(2):
                row = rows[(y * 5 + column) * 2 + k]
                assert row[0] == p_c[0, k, y, column]
                assert torch.equal(row[1:5], t[0, 4 * k : 4 * k + 4, y, column])
                assert torch.equal(row[5:], c[0, 3 * k : 3 * k + 3, y, column])


def test_tensors_and_arrays_decode_alike():
    grid, tensors = make_grid(64, 96, STRIDES, ANCHORS), TorchGrid.make(64, 96, STRIDES, ANCHORS)
    offsets = np.random.default_rng(0).normal(0, 1.5, (len(grid.cells), 4)).astype(np.float32)
    np.testing.assert_array_equal(tensors.anchors.numpy(), grid.anchors)
    np.testing.assert_allclose(tensors.decode(torch.from_numpy(offsets)), grid.decode(offsets), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(tensors.centers.numpy(), (grid.cells + 0.5) * grid.strides)


def test_a_new_network_expects_an_object_in_one_cell_of_a_hundred(network):
    output = network(torch.rand(1, 3, 64, 64))
    assert output[..., 0].sigmoid().mean().item() == pytest.approx(0.01, abs=0.005)


def test_bytes_are_pixels_in_zero_to_one(network):
    pixels = torch.randint(0, 256, (2, 64, 32, 3), dtype=torch.uint8)
    expected = network(pixels.permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(ByteInput(network)(pixels), expected, atol=1e-5, rtol=1e-5)


def test_pyramid_pooling_sees_windows_of_5_9_and_13():
    pooling = SpatialPyramidPooling(4, 8)
    seen = []
    pooling.join.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pooling.eval()(torch.rand(1, 4, 20, 20))
    parts = seen[0].chunk(4, dim=1)
    for part, window in zip(parts[1:], (5, 9, 13), strict=True):
        assert torch.equal(part, nn.functional.max_pool2d(parts[0], window, 1, window // 2))


def test_blocks_keep_the_sizes_they_promise():
    maps = tuple(torch.rand(1, c, 64 // s, 96 // s) for c, s in zip((16, 32, 64), STRIDES, strict=True))
    assert [m.shape for m in PathAggregation((16, 32, 64))(maps)] == [m.shape for m in maps]
    assert CSPStage(6, 10, depth=2)(torch.rand(1, 6, 7, 9)).shape == (1, 10, 7, 9)


def test_a_configuration_survives_json():
    import json

    assert YOLOConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


@pytest.mark.parametrize("anchors", [ANCHORS[:2], (ANCHORS[0], ANCHORS[1], ANCHORS[2][:1])])
def test_anchors_must_be_given_for_every_scale_alike(anchors):
    with pytest.raises(ValueError, match="anchors must be given for 3 scales"):
        YOLOConfig(3, anchors)


def test_landmarks_of_tensors_and_arrays_decode_alike():
    grid, tensors = make_grid(64, 96, STRIDES, ANCHORS), TorchGrid.make(64, 96, STRIDES, ANCHORS)
    offsets = np.random.default_rng(1).normal(size=(40, 2 * K)).astype(np.float32)
    rows = np.random.default_rng(2).permutation(len(grid.cells))[:40]
    found = tensors.landmarks(torch.from_numpy(offsets), torch.from_numpy(rows))
    np.testing.assert_allclose(found, grid.landmarks(offsets, rows), rtol=1e-5, atol=1e-4)


def with_landmarks(backbone, landmarks, seed=0):
    torch.manual_seed(seed)
    anchors = ANCHORS[:1] * len(LAYOUTS[backbone].neck.strides)
    depths = {"shuffle": (1, 1, 1)}.get(backbone, (1, 1, 1, 1))
    return YOLO(YOLOConfig(3, anchors, backbone, width=8, depths=depths, landmarks=landmarks)).eval()


@pytest.mark.parametrize("backbone", ["csp", "shuffle"])
def test_landmarks_are_columns_after_the_classes_and_change_no_others(backbone):
    plain, pointed = with_landmarks(backbone, 0), with_landmarks(backbone, K, seed=1)
    assert not any("landmarks" in name for name in plain.state_dict())
    added = set(pointed.state_dict()) - set(plain.state_dict())
    assert added == {f"heads.{i}.landmarks.{part}" for i in range(len(plain.heads)) for part in ("weight", "bias")}
    pointed.load_state_dict(plain.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = plain(images), pointed(images)
        for i, head in enumerate(pointed.heads):
            head.landmarks.weight.zero_()
            head.landmarks.bias.copy_(i + torch.arange(head.k * 2 * K) / 100)
        counted = pointed(images)[0, :, 8:]
    assert found.shape == (*expected.shape[:2], 8 + 2 * K)
    assert torch.equal(found[..., :8], expected)
    scales = torch.from_numpy(make_grid(64, 96, plain.config.strides, plain.config.anchors).strides[:, 0])
    index = torch.tensor([plain.config.strides.index(int(s)) for s in scales])
    slots = torch.arange(len(counted)) % 2  # of two anchors a cell, one after the other
    wanted = index[:, None] + (slots[:, None] * 2 * K + torch.arange(2 * K)) / 100
    torch.testing.assert_close(counted, wanted)


def test_a_configuration_without_landmarks_does_not_name_them():
    plain, pointed = (YOLOConfig(3, ANCHORS, width=4, depths=(1, 1, 1, 1), landmarks=count) for count in (0, K))
    assert "landmarks" not in plain.to_dict() and pointed.to_dict()["landmarks"] == K
    assert YOLOConfig.from_dict(plain.to_dict()) == plain and YOLOConfig.from_dict(pointed.to_dict()) == pointed
