"""The R-CNN family's network, against torchvision's own answers and plain reckoning."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from labeled import boxes as labeled
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.model.rcnn import BOX_WEIGHTS, CANONICAL, RCNN, RCNNConfig, Regions
from vision_app.detection.model.rcnn_parts import StrideAnchors
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.region_detector import decode
from vision_app.detection.train.export import write_model
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.rcnn import starting_regions, write_regions_model
from vision_app.training.initialize import initialize

pytestmark = pytest.mark.slow

DEFAULTS = {"confidence": 0.3, "iou": 0.5, "max_detections": 100}
SMALL = {"width": 4, "depths": (1, 1, 1), "pyramid": 8, "hidden": 16, "proposals": 20}


def network(kind="faster-rcnn", classes=3, **changes):
    torch.manual_seed(0)
    return RCNN(RCNNConfig(kind, classes, **SMALL | changes)).eval()


def targets(boxes, labels, scores=None, ignored=(), proposals=()):
    return labeled(boxes, labels, scores, ignored=ignored, regions=proposals)


def random_boxes(count, side=96.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * side / 2
    return torch.cat([corners, corners + 4 + torch.rand(count, 2, generator=generator) * (side / 2 - 4)], dim=1)


def test_decoded_boxes_are_those_of_torchvision():
    boxes, deltas = random_boxes(50), torch.randn(50, 4, generator=torch.Generator().manual_seed(1)) * 3
    deltas[0, 2:] = 40  # larger than what is believed
    expected = BoxCoder(BOX_WEIGHTS).decode(deltas, [boxes])[:, 0]
    np.testing.assert_allclose(decode(boxes.numpy(), deltas.numpy()), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(96, 96), (96, 160), (32, 416)])
def test_the_heads_answer_is_that_of_torchvisions_whole(shape):
    """`classify` leaves out the classes' copies of the box and the suppression; the rest must be the same."""
    net = network()
    images = torch.rand(2, 3, *shape)
    with torch.no_grad():
        found = net(images)
        maps = net.maps(images)
        proposals = net.propose(images, maps)
        net.roi_heads.nms_thresh = 2.0  # suppresses nothing
        whole, _ = net.roi_heads(maps, proposals, [shape] * 2)
    for regions, one in zip(found, whole, strict=True):
        assert len(regions.boxes) > 0
        probabilities = regions.logits.softmax(dim=1)[:, 1:]
        best = one["scores"].sort(descending=True)
        expected = probabilities.flatten().sort(descending=True).values[: len(best.values)]
        torch.testing.assert_close(best.values, expected)
        boxes = torch.from_numpy(decode(regions.boxes.numpy(), regions.deltas.numpy()))
        boxes = torch.minimum(boxes.clamp(min=0), torch.tensor([shape[1], shape[0]] * 2))
        assert (box_iou(one["boxes"], boxes).amax(dim=1) > 0.999).all()


@pytest.mark.parametrize(("height", "width"), [(416, 352), (96, 32)])
def test_anchors_lie_a_stride_apart_also_where_the_map_is_rounded_up(height, width):
    strides = (8, 16, 32, 64)
    anchors = StrideAnchors(((32,), (64,), (128,), (256,)), ((1.0,),) * 4, strides)
    sizes = [[-(-height // s), -(-width // s)] for s in strides]
    guessed = [[torch.tensor(height // rows), torch.tensor(width // columns)] for rows, columns in sizes]
    anchors.set_cell_anchors(torch.float32, torch.device("cpu"))
    for (rows, columns), stride, boxes in zip(sizes, strides, anchors.grid_anchors(sizes, guessed), strict=True):
        centers = ((boxes[:, :2] + boxes[:, 2:]) / 2).reshape(rows, columns, 2)
        expected = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), dim=2)
        torch.testing.assert_close(centers, expected.float() * stride)


@pytest.mark.parametrize(("side", "stride"), [(20, 8), (CANONICAL - 1, 8), (CANONICAL, 16), (440, 32), (450, 64)])
def test_a_region_is_pooled_at_the_stride_that_fits_its_size(side, stride):
    net = network()
    maps = {str(s): torch.full((1, 8, 512 // s, 512 // s), float(s)) for s in net.config.strides}
    pooled = net.roi_heads.box_roi_pool(maps, [torch.tensor([[30.0, 30.0, 30.0 + side, 30.0 + side]])], [])
    assert pooled.shape == (1, 8, 7, 7) and (pooled == stride).all()


def test_r_cnn_treats_a_region_as_if_it_were_the_image():
    """A region in the middle of an image that is warped to its own size: the pyramid of the image itself."""
    net = network("rcnn")
    image = torch.rand(3, 128, 128)
    middle = 64 + torch.tensor([-1, -1, 1, 1]) * 64 / 1.4  # with its surroundings it is the whole image
    with torch.no_grad():
        (regions,) = net(image[None], proposals=[middle[None]])
        (expected,) = net.classify(net.maps(image[None]), [middle[None]])
    torch.testing.assert_close(regions.logits, expected.logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(regions.deltas, expected.deltas, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(regions.boxes, middle[None])


@pytest.mark.parametrize(("box", "around"), [
    ([30, 20, 50, 25], [26, 19, 54, 26]),
    ([0, 10, 10, 20], [0, 8, 12, 22]),  # at the left border, so that the region is cut there
    ([70, 12, 80, 32], [68, 8, 80, 36]),
    ([40, 0, 60, 10], [36, 0, 64, 12]),
    ([40, 38, 60, 48], [36, 36, 64, 48]),
])  # fmt: skip
def test_r_cnn_warps_a_region_with_its_surroundings(monkeypatch, box, around):
    """As OpenCV warps it: 0.2 of the region's size more on each side, as far as the image (80 x 48) goes."""
    net, seen = network("rcnn"), []
    monkeypatch.setattr(net, "maps", lambda warped: seen.append(warped[0]) or {})
    monkeypatch.setattr(net, "classify", lambda _, inner: [Regions(inner[0], torch.zeros(1, 4), inner[0])])
    x, y = np.meshgrid(np.arange(80, dtype=np.float32), np.arange(48, dtype=np.float32))
    image = np.stack([x, y, 20 * np.sin(x / 9) * np.cos(y / 7)], axis=2)
    regions = net.classify_each(torch.from_numpy(image).permute(2, 0, 1), torch.tensor([box], dtype=torch.float32))
    x1, y1, x2, y2 = around
    scale = np.array([128 / (x2 - x1), 128 / (y2 - y1)])
    # a pixel's center lies half a pixel from its corner; four samples a pixel, of which the mean counts
    twice = 2 * scale
    affine = np.array([[twice[0], 0, (0.5 - x1) * twice[0] - 0.5], [0, twice[1], (0.5 - y1) * twice[1] - 0.5]])
    samples = cv2.warpAffine(image, affine, (256, 256), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    expected = samples.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(seen[0].permute(1, 2, 0), expected, atol=0.06)  # OpenCV rounds to 1/32 pixel
    inner = (np.array(box) - [x1, y1, x1, y1]) * np.tile(scale, 2)
    np.testing.assert_allclose(regions.deltas[0], inner, rtol=1e-5)
    assert regions.boxes.tolist() == [box]


def test_r_cnn_works_through_regions_in_parts_and_through_none():
    net, image, boxes = network("rcnn"), torch.rand(3, 96, 64), random_boxes(7, side=60)
    with torch.no_grad():
        whole, parts, none = (
            net.classify_each(image, boxes),
            net.classify_each(image, boxes, batch=3),
            net.classify_each(image, boxes[:0]),
        )
    torch.testing.assert_close(whole.logits, parts.logits)
    torch.testing.assert_close(whole.deltas, parts.deltas)
    assert [tuple(tensor.shape) for tensor in vars(none).values()] == [(0, 4), (0, 4), (0, 4)]


def test_ignore_regions_are_neither_object_nor_background():
    """Anchors in ignore regions get the label -1, which torchvision does not sample; others stay as they were."""
    net = network()
    anchor = torch.tensor([[0.0, 0, 10, 10], [40, 40, 60, 60], [41, 41, 60, 60], [80, 80, 90, 90]])
    known = {"boxes": anchor[:1], "ignored": torch.tensor([[40.0, 40, 60, 60]])}
    (labels,), (matched,) = net.rpn.assign_targets_to_anchors([anchor], [known])
    assert labels.tolist() == [1, -1, -1, 0]
    torch.testing.assert_close(matched[0], anchor[0])


@pytest.mark.parametrize("doubt", [{"ignored": [[10, 10, 60, 60]]}, {"boxes": [[10, 10, 60, 60]]}])
def test_regions_on_doubtful_boxes_are_not_learned_from(monkeypatch, doubt):
    """Whether a box is ignored from the start or a teacher is unsure of it."""
    net, sampled = network("fast-rcnn").train(), []
    subsample = net.roi_heads.subsample
    monkeypatch.setattr(net.roi_heads, "subsample", lambda labels: sampled.extend(labels) or subsample(labels))
    boxes = doubt.get("boxes", [])
    target = targets(
        [*boxes, [70, 70, 90, 90]], [2] * len(boxes) + [1], [0.4] * len(boxes) + [0.9], doubt.get("ignored", ()),
        proposals=[[12, 10, 60, 60], [70, 70, 90, 91], [0, 80, 20, 95]],
    )  # fmt: skip
    net(torch.rand(1, 3, 96, 96), [target])
    (labels,) = sampled
    assert labels.tolist() == [-1, 2, 0, 2, -1]  # the proposals, then the true and the doubtful box themselves


@pytest.mark.training
@pytest.mark.parametrize("kind", ["faster-rcnn", "fast-rcnn"])
def test_a_small_batch_can_be_overfitted(kind):
    net = network(kind, width=8, pyramid=16, hidden=32).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # judged by the statistics of the batch that was learned
    images = torch.full((2, 3, 96, 96), 0.4)
    images[0, 0, 20:60, 10:50] = 1.0
    images[1, 2, 40:80, 40:90] = 1.0
    objects, near = [([10.0, 20, 50, 60], 0), ([40.0, 40, 90, 80], 2)], [random_boxes(200, seed=i) for i in range(2)]
    proposals = [torch.cat([p, torch.tensor([box]) + 3]) for p, (box, _) in zip(near, objects, strict=True)]
    truth = [targets([box], [label], proposals=p) for (box, label), p in zip(objects, proposals, strict=True)]
    optimizer, losses = torch.optim.AdamW(net.parameters(), 3e-3, fused=True), []
    for step in range(1, 401):  # 50 are enough on one processor, another rounds differently
        parts = net(images, truth)
        loss = sum(parts.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 0:
            with torch.no_grad():
                net(images, truth)  # so that the statistics are those of the weights
                found: list[Regions] = net.eval()(images, proposals=None if kind == "faster-rcnn" else proposals)
            net.train()
            if losses[-1] < 0.5 * losses[0] and all(map(is_found, found, truth)):
                break
    assert parts.keys() == {"classes", "boxes"} | ({"objectness", "proposals"} if kind == "faster-rcnn" else set())
    assert losses[-1] < 0.5 * losses[0]
    assert all(map(is_found, found, truth))


def is_found(regions: Regions, truth: LabeledBoxes) -> bool:
    """Whether the surest region has the class and the box of the one object."""
    best = regions.logits.softmax(dim=1)[:, 1:].amax(dim=1).argmax()
    box = decode(regions.boxes[best, None].numpy(), regions.deltas[best, None].numpy())
    overlap = box_iou(torch.from_numpy(box), torch.from_numpy(truth.xyxy[:1])).item()
    return regions.logits[best].argmax().item() == truth.labels[0] + 1 and overlap > 0.5


def test_training_starts_from_the_weights_of_the_grid_detector(tmp_path):
    """Its class layer on the trunk of the network gives its own class logits."""
    torch.manual_seed(1)
    anchors = (((20.0, 20.0),), ((40.0, 40.0),), ((80.0, 80.0),), ((160.0, 160.0),))
    grid = YOLO(YOLOConfig(2, anchors, "shuffle", 4, (1, 1, 1))).eval()
    for module in grid.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.2)
    write_model(grid, tmp_path / "grid", name="grid", classes=("cat", "cup"), defaults=DEFAULTS)
    net, _ = starting_regions(
        "faster-rcnn", tmp_path / "grid", SimpleNamespace(classes=("cup", "kite")), DetectionOptions(size=96)
    )
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        features = net.eval().neck(net.backbone(images))
        logits = [head.class_logits(x).permute(0, 2, 3, 1).reshape(1, -1, 2)
                  for head, x in zip(grid.heads, features, strict=True)]  # fmt: skip
        expected = grid(images)[..., 5:]
    torch.testing.assert_close(torch.cat(logits, dim=1), expected)


def test_training_starts_afresh_where_there_is_nothing_to_start_from():
    torch.manual_seed(5)
    net, _ = starting_regions(
        "fast-rcnn",
        None,
        SimpleNamespace(classes=("cup",)),
        DetectionOptions(backbone="inception", initialize="xavier"),
    )
    torch.manual_seed(5)
    expected = RCNN(RCNNConfig("fast-rcnn", 1, backbone="inception"))
    initialize(expected, "xavier")
    assert net.config == expected.config
    torch.testing.assert_close(dict(net.state_dict()), dict(expected.state_dict()))


@pytest.mark.parametrize("kind", ["rcnn", "fast-rcnn", "faster-rcnn"])
def test_training_goes_on_from_another_of_the_family(tmp_path, kind):
    """Everything that both have is copied, the logits of classes by their names."""
    old = network("faster-rcnn", classes=2)
    write_regions_model(old, tmp_path / "old", name="old", classes=("cat", "cup"), defaults=DEFAULTS, size=96)
    small = {name: SMALL[name] for name in ("pyramid", "hidden")}
    new, _ = starting_regions(
        kind, tmp_path / "old", SimpleNamespace(classes=("kite", "cup")), DetectionOptions(size=96)
    )
    assert {name: getattr(new.config, name) for name in small} == small
    assert new.config.proposals == (300 if kind == "faster-rcnn" else 500)
    before, after = old.half().state_dict(), new.state_dict()
    assert {name for name in before if name not in after} == (
        {n for n in before if n.startswith("rpn")} if kind != "faster-rcnn" else set()
    )
    for name, value in after.items():
        if "class_logits" in name:
            torch.testing.assert_close(value[[0, 2]], before[name].float()[[0, 2]])
        else:
            torch.testing.assert_close(value, before[name].to(value.dtype), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["fast-rcnn", "faster-rcnn"])
def test_boxes_keep_their_digits_in_mixed_precision(monkeypatch, kind):
    """bfloat16 has steps of 2 pixels from 256 on."""
    net, sampled, pooled = network(kind), [], []
    select = net.roi_heads.select_training_samples
    monkeypatch.setattr(net.roi_heads, "select_training_samples", lambda *args: sampled.append(args) or select(*args))
    net.roi_heads.box_roi_pool.register_forward_pre_hook(lambda _, args: pooled.extend(args[1]))
    proposals = torch.tensor([[5.3, 6.1, 60.7, 50.2], [10.1, 20.3, 90.9, 70.7]])
    target = targets([[10.3, 20.6, 89.9, 70.1]], [1], proposals=proposals)
    with torch.autocast("cpu", torch.bfloat16):
        losses = net.train()(torch.rand(1, 3, 96, 96), [target])
        with torch.no_grad():
            (regions,) = net.eval()(torch.rand(1, 3, 96, 96), proposals=[proposals] if kind == "fast-rcnn" else None)
    ((proposed, true),) = sampled
    assert true[0]["boxes"].tolist() == target.xyxy[:1].tolist()
    assert {x.dtype for x in (*proposed, *pooled, *vars(regions).values(), *losses.values())} == {torch.float32}


def test_a_batch_without_a_region_to_learn_from_gives_losses_of_zero():
    """One image has no box and no proposal, all of the other's lie on what nobody can vouch for."""
    net = network("fast-rcnn").train()
    doubtful = targets([], [], ignored=[[10, 10, 60, 60]], proposals=[[11, 10, 60, 60]])
    losses = net(torch.rand(2, 3, 96, 96), [targets([], []), doubtful])
    assert {name: loss.item() for name, loss in losses.items()} == {"classes": 0, "boxes": 0}
    sum(losses.values()).backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in net.parameters())
    assert net.roi_heads.box_predictor.deltas.weight.grad is not None


@pytest.mark.parametrize("kind", ["rcnn", "fast-rcnn", "faster-rcnn"])
def test_a_configuration_survives_json(kind):
    config = RCNNConfig(kind, 5, **SMALL)
    assert RCNNConfig.from_dict(config.to_dict()) == config
    assert config.to_dict()["type"] == kind and config.strides == (8, 16, 32, 64)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind: must be one of rcnn, fast-rcnn, faster-rcnn"):
        RCNNConfig("mask-rcnn", 5)
