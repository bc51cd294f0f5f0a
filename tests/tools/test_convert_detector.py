"""The checkpoint is stood in for by one that the test makes: every tensor under the name that the original has."""

import json

import convert_detector
import pytest
import torch
from batch_norms import restore_batch_statistics
from convert_detector import load_published, load_yolox_nano, our_name
from drawn_sets import coco
from torch import nn
from torch.nn import functional as F

from vision_app.core.errors import ModelError
from vision_app.data.coco import load_coco
from vision_app.data.names import COCO_CLASSES
from vision_app.detection.model.backbone import STRIDES
from vision_app.detection.model.yolo import YOLO, TorchGrid, YOLOConfig
from vision_app.detection.train.initial import starting_network
from vision_app.detection.train.options import DetectionOptions

pytestmark = pytest.mark.slow

ONE = (((8.0, 8.0),), ((16.0, 16.0),), ((32.0, 32.0),))
TWO = (((10.0, 14.0), (24.0, 18.0)), ((60.0, 40.0), (50.0, 90.0)), ((120.0, 200.0), (300.0, 180.0)))
CLASSES = 4


def unit(name: str, inputs: int, outputs: int, kernel: int = 1) -> dict:
    return {
        f"{name}.conv.weight": torch.randn(outputs, inputs, kernel, kernel) / (inputs**0.5 * kernel),
        f"{name}.bn.weight": torch.rand(outputs) + 0.5,
        f"{name}.bn.bias": torch.randn(outputs) * 0.1,
        f"{name}.bn.running_mean": torch.zeros(outputs),
        f"{name}.bn.running_var": torch.ones(outputs),
        f"{name}.bn.num_batches_tracked": torch.tensor(0),
    }


def separable(name: str, inputs: int, outputs: int) -> dict:
    return unit(f"{name}.dconv", 1, inputs, 3) | unit(f"{name}.pconv", inputs, outputs)


def stage(name: str, inputs: int, outputs: int, depth: int) -> dict:
    half = outputs // 2
    tensors = unit(f"{name}.conv1", inputs, half) | unit(f"{name}.conv2", inputs, half)
    tensors |= unit(f"{name}.conv3", outputs, outputs)
    for i in range(depth):
        tensors |= unit(f"{name}.m.{i}.conv1", half, half) | separable(f"{name}.m.{i}.conv2", half, half)
    return tensors


def checkpoint(w: int = 4) -> dict:
    back = "backbone.backbone"
    tensors = unit(f"{back}.stem.conv", 12, w, 3)
    for i, depth in ((2, 1), (3, 3), (4, 3)):
        c = w * 2 ** (i - 1)
        tensors |= separable(f"{back}.dark{i}.0", c // 2, c) | stage(f"{back}.dark{i}.1", c, c, depth)
    c3, c4, c5 = 4 * w, 8 * w, 16 * w
    tensors |= separable(f"{back}.dark5.0", c4, c5) | unit(f"{back}.dark5.1.conv1", c5, c4)
    tensors |= unit(f"{back}.dark5.1.conv2", 4 * c4, c5) | stage(f"{back}.dark5.2", c5, c5, 1)
    tensors |= unit("backbone.lateral_conv0", c5, c4) | stage("backbone.C3_p4", 2 * c4, c4, 1)
    tensors |= unit("backbone.reduce_conv1", c4, c3) | stage("backbone.C3_p3", 2 * c3, c3, 1)
    tensors |= separable("backbone.bu_conv2", c3, c3) | stage("backbone.C3_n3", 2 * c3, c4, 1)
    tensors |= separable("backbone.bu_conv1", c4, c4) | stage("backbone.C3_n4", 2 * c4, c5, 1)
    for i, c in enumerate((c3, c4, c5)):
        tensors |= unit(f"head.stems.{i}", c, c3)
        for branch in ("cls_convs", "reg_convs"):
            tensors |= separable(f"head.{branch}.{i}.0", c3, c3) | separable(f"head.{branch}.{i}.1", c3, c3)
        for prediction, outputs in (("cls_preds", CLASSES), ("reg_preds", 4), ("obj_preds", 1)):
            tensors[f"head.{prediction}.{i}.weight"] = torch.randn(outputs, c3, 1, 1) * 0.1
            tensors[f"head.{prediction}.{i}.bias"] = torch.randn(outputs) * 0.1
    return tensors


@pytest.fixture
def original() -> dict:
    torch.manual_seed(0)
    return checkpoint()


def loaded(tensors: dict, anchors, folder) -> YOLO:
    torch.save(tensors, folder / "nano.pth")
    network = YOLO(YOLOConfig(CLASSES, anchors, width=4)).eval()
    load_yolox_nano(network, folder / "nano.pth")
    return network


def test_every_name_meets_one_of_ours(original):
    ours = YOLO(YOLOConfig(CLASSES, ONE, width=4)).state_dict()
    assert sorted(map(our_name, original)) == sorted(ours)


def test_the_stem_is_their_focus_on_bgr(original, tmp_path):
    rgb = torch.rand(1, 3, 32, 48)
    bgr = rgb.flip(1) * 255
    phases = [bgr[..., ::2, ::2], bgr[..., 1::2, ::2], bgr[..., ::2, 1::2], bgr[..., 1::2, 1::2]]
    theirs = F.conv2d(torch.cat(phases, dim=1), original["backbone.backbone.stem.conv.conv.weight"], padding=1)
    network = loaded(original, ONE, tmp_path)
    torch.testing.assert_close(network.backbone.stem.conv(rgb), theirs, rtol=1e-4, atol=1e-3)


def test_every_anchor_starts_as_the_one_box_of_its_cell(original, tmp_path):
    images = torch.rand(1, 3, 64, 64)
    one, two = loaded(original, ONE, tmp_path), loaded(original, TWO, tmp_path)
    with torch.no_grad():
        single, double = one(images)[0], two(images)[0]
    torch.testing.assert_close(double[:, 5:], single[:, 5:].repeat_interleave(2, dim=0))
    torch.testing.assert_close(double[:, 0], single[:, 0].repeat_interleave(2))
    boxes = TorchGrid.make(64, 64, STRIDES, ONE).decode(single[:, 1:5])
    torch.testing.assert_close(
        TorchGrid.make(64, 64, STRIDES, TWO).decode(double[:, 1:5]),
        boxes.repeat_interleave(2, dim=0),
        rtol=1e-4,
        atol=1e-3,
    )


def test_a_box_has_the_size_that_the_checkpoint_means(original, tmp_path):
    network = loaded(original, TWO, tmp_path)
    for i, (stride, anchors) in enumerate(zip(STRIDES, TWO, strict=True)):
        t_w, t_h = original[f"head.reg_preds.{i}.bias"][2:].exp() * stride
        for k, (a_w, a_h) in enumerate(anchors):
            bias = network.heads[i].offsets.bias.view(2, 4)[k]
            assert (a_h * bias[2].exp()).item() == pytest.approx(t_h.item(), rel=1e-4)
            assert (a_w * bias[3].exp()).item() == pytest.approx(t_w.item(), rel=1e-4)


def test_restored_statistics_are_those_of_the_activations_and_change_nothing(original, tmp_path):
    network = loaded(original, TWO, tmp_path)
    images = torch.rand(12, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        restore_batch_statistics(network, images.split(4))
        torch.testing.assert_close(network(images), before, rtol=1e-3, atol=1e-3)
    entering = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs, name=name: entering.__setitem__(name, inputs[0]))
    with torch.no_grad():
        network(images)
    for name, x in entering.items():
        norm = network.get_submodule(name)
        torch.testing.assert_close(norm.running_mean, x.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(norm.running_var, x.var(dim=(0, 2, 3), correction=0), rtol=1e-2, atol=1e-3)


def test_after_that_training_mode_keeps_what_was_learned(original, tmp_path):
    network = loaded(original, TWO, tmp_path)
    images = torch.rand(16, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        folded = (network.train()(images) - expected).abs().mean()
        network = loaded(original, TWO, tmp_path)
        restore_batch_statistics(network, [images])
        restored = (network.train()(images) - expected).abs().mean()
    assert restored < 0.01 * folded


@pytest.mark.parametrize(
    "content", [[1], {"model": [1]}, {"a": 1}, {"model": {"a": "b"}}, torch.zeros(3), {}, {1: torch.zeros(3)}]
)
def test_a_file_of_other_things_is_refused_by_name(content, tmp_path):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth: (not a checkpoint of YOLOX-Nano|its tensors do not fit)"):
        load_published(YOLO(YOLOConfig(CLASSES, TWO, width=4)), tmp_path / "other.pth")


@pytest.mark.parametrize("content", [b"no checkpoint", None])
def test_another_file_is_refused_by_name(content, original, tmp_path):
    if content is None:
        original.pop("head.cls_preds.1.bias")
        torch.save(original, tmp_path / "other.pth")
    else:
        (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.pth: (not a checkpoint|its tensors do not fit)"):
        load_yolox_nano(YOLO(YOLOConfig(CLASSES, TWO, width=4)), tmp_path / "other.pth")


def picodet_file(path, network, seed=0, classes=CLASSES):
    """The published layout: for each convolution in the order of computing a tag, weights and biases, float32."""
    generator, numbers = torch.Generator().manual_seed(seed), []

    def add(*shape: int) -> torch.Tensor:
        weight, bias = torch.randn(*shape, generator=generator) * 0.1, torch.randn(shape[0], generator=generator) * 0.1
        numbers.extend([torch.zeros(1), weight.flatten(), bias])
        return weight, bias

    stem = add(*network.backbone.stem[0].conv.weight.shape)
    convs = [m for part in (network.backbone, network.neck) for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    for conv in convs[1:]:
        add(*conv.weight.shape)
    for head in network.heads:
        for conv in (m for m in head.branch.modules() if isinstance(m, torch.nn.Conv2d)):
            add(*conv.weight.shape)
        last = add(classes + 32, head.sides.in_channels, 1, 1)
    torch.cat(numbers).numpy().tofile(path)
    return stem, last


def shuffle_network(k: int = 1) -> YOLO:
    anchors = tuple(((4.0 * s, 4.0 * s), (6.0 * s, 8.0 * s))[:k] for s in (8, 16, 32, 64))
    return YOLO(YOLOConfig(CLASSES, anchors, "shuffle", width=4, depths=(2, 2, 1))).eval()


def test_picodet_convolutions_land_where_they_are_computed(tmp_path):
    network = shuffle_network()
    (stem_weight, stem_bias), (weight, bias) = picodet_file(tmp_path / "pico.bin", network)
    load_published(network, tmp_path / "pico.bin")
    x = torch.rand(1, 3, 32, 32)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = torch.nn.functional.conv2d((x - mean) / deviation, stem_weight, stem_bias, 2, 1)
        unit = network.backbone.stem[0]
        torch.testing.assert_close(unit.norm(unit.conv(x - network.backbone.mean)), expected, rtol=1e-4, atol=1e-5)
        head, features = network.heads[-1], torch.rand(1, network.neck.channels[-1], 2, 3)
        features = head.branch(features)
        both = torch.nn.functional.conv2d(features, weight, bias)
        torch.testing.assert_close(head.class_logits(features), both[:, :CLASSES])
        torch.testing.assert_close(head.sides(features), both[:, CLASSES:])
        assert (head.objectness(features).sigmoid() > 0.999).all()


def test_every_anchor_of_a_cell_starts_as_picodets_box(tmp_path):
    one, two = shuffle_network(1), shuffle_network(2)
    picodet_file(tmp_path / "pico.bin", one)
    for network in (one, two):
        load_published(network, tmp_path / "pico.bin")
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        (single,), (double,) = one(x), two(x)
    boxes, more = (
        TorchGrid.make(64, 96, n.config.strides, n.config.anchors).decode(rows[:, 1:5])
        for n, rows in ((one, single), (two, double))
    )
    torch.testing.assert_close(more, boxes.repeat_interleave(2, dim=0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(double[:, 5:], single[:, 5:].repeat_interleave(2, dim=0))


@pytest.mark.parametrize("change", ["shorter", "longer", "quantized"])
def test_a_file_that_is_not_picodet_is_refused(tmp_path, change):
    network = shuffle_network()
    picodet_file(tmp_path / "pico.bin", network)
    content = (tmp_path / "pico.bin").read_bytes()
    content = {"shorter": content[:-4], "longer": content + bytes(4), "quantized": b"\x01\x02\x03\x04" + content[4:]}
    (tmp_path / "pico.bin").write_bytes(content[change])
    with pytest.raises(ModelError, match=r"pico\.bin"):
        load_published(network, tmp_path / "pico.bin")


@pytest.fixture
def small(monkeypatch):
    """Small networks in the place of PicoDet-S's."""
    monkeypatch.setattr(
        convert_detector, "YOLOConfig", lambda *a, **more: YOLOConfig(*a, width=4, depths=(2, 2, 1), **more)
    )


def test_the_tool_writes_a_model_that_training_starts_from(tmp_path, small, without_onnx):
    path = coco(tmp_path / "set", names=("motorcycle",))
    anchors = tuple(((4.0 * s, 4.0 * s),) for s in (8, 16, 32, 64))
    like = YOLO(YOLOConfig(len(COCO_CLASSES), anchors, "shuffle", width=4, depths=(2, 2, 1)))
    picodet_file(tmp_path / "pico.bin", like, classes=len(COCO_CLASSES))
    words = [tmp_path / "pico.bin", "--data", path, "--validation", path, "--output", tmp_path / "start", "--size", 64]
    convert_detector.main([str(word) for word in words])
    info = json.loads((tmp_path / "start" / "model.json").read_text())
    assert info["license"] == "Apache-2.0" and info["learned_from"][0].startswith("pico.bin ")
    assert info["best_possible_recall"] > 0 and info["classes"] == list(COCO_CLASSES)
    network, _ = starting_network(tmp_path / "start", load_coco(path), DetectionOptions(size=64))
    assert network.config.backbone == "shuffle" and network.config.classes == 1
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.running_mean.any() and (norm.running_var != 1).any() for norm in norms)  # those of the data
    with pytest.raises(SystemExit):
        convert_detector.main([str(word) for word in words])


@pytest.mark.parametrize("name", ["exported.onnx", "weights.safetensors", "model"])
def test_the_tool_refuses_files_of_other_kinds(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"x")
    path = coco(tmp_path / "set", names=("motorcycle",))
    with pytest.raises(SystemExit):
        convert_detector.main([str(tmp_path / name), "--data", str(path), "--output", str(tmp_path / "start")])
    assert f"{name}: no published weights; take a file that ends with .pth or .bin" in capsys.readouterr().err
    assert not (tmp_path / "start").exists()
