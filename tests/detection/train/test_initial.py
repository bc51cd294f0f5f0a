"""Where training starts: anchors of the data, fresh weights, or those of a model with other classes."""

import shutil

import numpy as np
import pytest
import torch
from drawn_sets import coco, yolo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchvision.ops import box_iou

from vision_app.core.errors import DataError, ModelError, UsageError
from vision_app.data.coco import load_coco
from vision_app.data.yolo import YoloFile
from vision_app.detection.grid import make_grid
from vision_app.detection.model.yolo import YOLO, YOLOConfig
from vision_app.detection.train.export import write_model
from vision_app.detection.train.initial import (
    best_possible_recall,
    choose_anchors,
    kmeans_anchors,
    shape_iou,
    shortened,
    starting_network,
    with_classes,
)
from vision_app.detection.train.options import DetectionOptions
from vision_app.detection.train.trainer import train
from vision_app.training.config import TrainConfig

pytestmark = pytest.mark.slow

ANCHORS = (((10.0, 14.0), (9.0, 9.0)), ((60.0, 40.0), (50.0, 50.0)), ((120.0, 200.0), (99.0, 99.0)))
TINY = {"width": 4, "depths": (1, 1, 1, 1)}


def test_anchors_are_chosen_for_boxes_as_the_network_sees_them(tmp_path):
    data = load_coco(coco(tmp_path / "set"))
    anchors, recall, mean_iou = choose_anchors(data, 416, (8, 16, 32), per_scale=1)
    scale = 416 / 120
    expected = sorted((round((50 + k) * scale, 1), round(40 * scale, 1)) for k in range(3))
    np.testing.assert_allclose([anchor for (anchor,) in anchors], expected)
    assert (recall, mean_iou) == (1.0, pytest.approx(1.0))
    assert len(make_grid(416, 416, (8, 16, 32), anchors).cells) == 52**2 + 26**2 + 13**2
    half, *_ = choose_anchors(data, 208, (8, 16, 32), per_scale=1)
    np.testing.assert_allclose(np.array(half) * 2, anchors, atol=0.2)


def test_too_few_boxes_for_anchors_are_an_error_that_says_so(tmp_path):
    data = load_coco(coco(tmp_path / "set", photos=1, boxes=2))
    with pytest.raises(DataError, match="6 anchors cannot be found from 2 boxes"):
        starting_network(None, data, DetectionOptions(size=416))


def output(network, classes, image):
    """The network's columns by name of what they say."""
    with torch.no_grad():
        raw = network.eval()(image)
    return {name: raw[..., 5 + i] for i, name in enumerate(classes)} | {"box": raw[..., :5]}


def test_other_classes_take_over_all_but_the_rows_of_classes_that_only_one_of_the_two_knows():
    torch.manual_seed(0)
    old, new = ("person", "couch", "dog"), ("screw", "dog", "sofa", "nut")
    network = YOLO(YOLOConfig(3, ANCHORS, **TINY))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    changed = with_classes(network, old, new, dropout=0.3)
    assert (changed.config.classes, changed.config.dropout, changed.config.anchors) == (4, 0.3, ANCHORS)
    image = torch.rand(1, 3, 64, 96)
    before, after = output(network, old, image), output(changed, new, image)
    assert before.keys() == {"box", *old} and after.keys() == {"box", *new}
    for ours, theirs in (("box", "box"), ("dog", "dog"), ("sofa", "couch")):
        torch.testing.assert_close(after[ours], before[theirs], rtol=1e-5, atol=1e-6)
    for name in ("screw", "nut"):
        assert not any(torch.allclose(after[name], before[other], atol=1e-3) for other in old)


def test_the_same_classes_give_the_same_network():
    network = YOLO(YOLOConfig(2, ANCHORS, **TINY))
    same = with_classes(network, ("a", "b"), ("a", "b"))
    for name, tensor in same.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    torch.manual_seed(1)
    network = YOLO(YOLOConfig(2, ANCHORS, **TINY))
    folder = tmp_path_factory.mktemp("written") / "old"
    write_model(network, folder, name="old", classes=("nut", "bolt"), defaults={}, size=64)
    return network, folder


@pytest.fixture
def released(written, tmp_path):
    """A model of two classes: its network and its folder."""
    return written[0], shutil.copytree(written[1], tmp_path / "old")


def test_a_model_folder_gives_backbone_anchors_and_weights(tmp_path, released, monkeypatch):
    network, folder = released
    data = YoloFile(yolo(tmp_path / "set")).load()
    started, about = starting_network(folder, data, DetectionOptions(size=64))
    assert about == {} and started.config.anchors == ANCHORS and started.config.classes == 2
    assert torch.equal(started.backbone.stem.conv.weight, network.backbone.stem.conv.weight)
    row = started.heads[0].class_logits.weight.unflatten(0, (2, 2))[:, data.classes.index("nut")]
    assert torch.equal(row, network.heads[0].class_logits.weight.unflatten(0, (2, 2))[:, 0])
    monkeypatch.setenv("VISION_APP_MODELS", str(tmp_path))
    by_name, _ = starting_network(type(folder)("old"), data, DetectionOptions(size=64))
    assert torch.equal(by_name.backbone.stem.conv.weight, network.backbone.stem.conv.weight)


def test_what_training_cannot_start_from_is_named(tmp_path, released):
    _, folder = released
    data = YoloFile(yolo(tmp_path / "set")).load()
    with pytest.raises(UsageError, match="--backbone residual: the model to start from has the backbone csp"):
        starting_network(folder, data, DetectionOptions(size=64, backbone="residual"))
    with pytest.raises(ModelError, match="unknown model 'nothing'"):
        starting_network(type(folder)("nothing"), data, DetectionOptions(size=64))
    for name in ("exported.onnx", "weights.safetensors", "model", "published.pth", "published.bin"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UsageError, match=rf"{name}: is a file; training starts from a model.*convert_detector\.py"):
            starting_network(tmp_path / name, data, DetectionOptions(size=64))
    (folder / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"weights\.safetensors: damaged"):
        starting_network(folder, data, DetectionOptions(size=64))


def test_a_file_that_is_no_start_is_named_before_the_data_is_blamed(tmp_path):
    (tmp_path / "best.onnx").write_bytes(b"x")
    data = yolo(tmp_path / "set")  # of other classes than COCO's
    with pytest.raises(UsageError, match=r"best\.onnx: is a file"):
        train([data], [], tmp_path / "run", TrainConfig(), initial=tmp_path / "best.onnx")
    assert not (tmp_path / "run").exists()


def test_fresh_weights_are_drawn_as_asked_for_a_backbone_by_name(tmp_path):
    data = YoloFile(yolo(tmp_path / "set")).load()
    spread = {}
    for scheme in ("he", "xavier"):
        torch.manual_seed(0)
        network, about = starting_network(None, data, DetectionOptions(size=64, backbone="residual", initialize=scheme))
        spread[scheme] = next(network.backbone.parameters()).std().item()
        assert network.config.backbone == "residual" and about.keys() == {"best_possible_recall", "mean_best_iou"}
    assert spread["he"] != pytest.approx(spread["xavier"], rel=0.01)


def test_a_network_without_landmarks_starts_those_of_the_data_fresh_and_keeps_all_else():
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(2, ANCHORS, **TINY))
    pointed = with_classes(network, ("a", "b"), ("a", "b"), landmarks=((), ("left_end", "right_end")))
    assert pointed.config.landmarks == 2
    image = torch.rand(1, 3, 64, 96)
    before, after = network.eval()(image), pointed.eval()(image)
    assert after.shape[2] == before.shape[2] + 4 and torch.equal(after[..., :7], before)
    back = with_classes(pointed, ("a", "b"), ("a", "b"))
    assert back.config == network.config and torch.equal(back.eval()(image), before)


def test_landmarks_are_taken_over_by_their_names():
    torch.manual_seed(0)
    old, new = ("left_end", "tail", "right_end"), ("right_end", "nose", "left_end")
    network = YOLO(YOLOConfig(1, ANCHORS, **TINY, landmarks=3)).eval()
    changed = with_classes(network, ("a",), ("a",), landmarks=(old, new)).eval()
    image = torch.rand(1, 3, 64, 96)
    before, after = (one(image)[..., 6:].unflatten(2, (3, 2)) for one in (network, changed))
    for i, name in enumerate(new):
        same = [torch.equal(after[:, :, i], before[:, :, k]) for k in range(3)]
        assert same == [name == other for other in old]


FOUR = tuple(((side, side),) for side in (8.0, 16.0, 32.0, 64.0))


@pytest.fixture(scope="module")
def long_network():
    torch.manual_seed(0)
    network = YOLO(YOLOConfig(1, FOUR, backbone="shuffle", width=8, depths=(1, 1, 3))).eval()
    for unit in network.modules():
        if isinstance(unit, torch.nn.BatchNorm2d):
            unit.running_mean.normal_(0, 0.1)
            unit.weight.data.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def batches():
    return list(torch.rand(6, 2, 3, 128, 128, generator=torch.Generator().manual_seed(1)))


def lateral(network, batch):
    found = []
    hook = network.neck.lateral5.register_forward_hook(lambda layer, inputs, output: found.append(output.clone()))
    with torch.no_grad():
        network(batch)
    hook.remove()
    return found[0].numpy()


def test_what_the_neck_gets_is_the_best_linear_guess_of_what_it_got(long_network, batches):
    short = shortened(long_network, 1, batches)
    assert short.config.depths == (1, 1, 1)
    assert sum(p.numel() for p in short.parameters()) < sum(p.numel() for p in long_network.parameters())
    plain = YOLO(short.config).eval()
    plain.load_state_dict({name: long_network.state_dict()[name] for name in plain.state_dict()})
    wanted = np.concatenate([lateral(long_network, batch) for batch in batches])

    def error(other):
        return np.square(np.concatenate([lateral(other, batch) for batch in batches]) - wanted).mean()

    assert error(short) < 0.5 * error(plain)  # plain: the blocks are cut off and nothing is fitted
    kept = short.state_dict()
    same = [name for name in kept if "lateral5" not in name]
    assert all(torch.equal(kept[name], long_network.state_dict()[name]) for name in same)


def test_a_network_that_is_short_enough_stays_as_it_is(long_network, batches):
    assert shortened(long_network, 3, batches) is long_network


shapes = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(1, 400))


@given(shapes, shapes)
def test_shape_iou_is_the_iou_of_boxes_with_one_corner_in_common(a, b):
    boxes_a, boxes_b = (torch.from_numpy(np.concatenate([np.zeros_like(x), x], axis=1)) for x in (a, b))
    np.testing.assert_allclose(shape_iou(a, b), box_iou(boxes_a, boxes_b).numpy(), atol=1e-12)


def test_kmeans_finds_clusters_that_lie_apart_and_orders_them_by_area():
    generator = np.random.default_rng(3)
    centers = np.array([[10.0, 12.0], [80.0, 30.0], [40.0, 200.0], [300.0, 280.0]])
    boxes = np.concatenate([center * generator.uniform(0.97, 1.03, (50, 2)) for center in centers])
    anchors, mean_iou = kmeans_anchors(generator.permutation(boxes), k=4)
    np.testing.assert_allclose(anchors, centers[centers.prod(axis=1).argsort()], rtol=0.02)
    assert mean_iou == pytest.approx(shape_iou(boxes, anchors).max(axis=1).mean())
    assert mean_iou > 0.94


def test_kmeans_ends_where_each_anchor_is_the_mean_of_the_boxes_nearest_to_it():
    boxes = np.random.default_rng(0).uniform(5, 300, (400, 2))
    anchors, _ = kmeans_anchors(boxes, k=5)
    nearest = shape_iou(boxes, anchors).argmax(axis=1)
    for i, anchor in enumerate(anchors):
        np.testing.assert_allclose(anchor, boxes[nearest == i].mean(axis=0))


def test_a_seed_gives_the_same_anchors_again():
    boxes = np.random.default_rng(1).uniform(5, 300, (200, 2))
    assert np.array_equal(kmeans_anchors(boxes, 6, seed=4)[0], kmeans_anchors(boxes, 6, seed=4)[0])


def test_best_possible_recall_counts_boxes_that_some_anchor_meets():
    anchors = np.array([[10.0, 10.0], [100.0, 100.0]])
    boxes = np.array([[10.0, 5.0], [10.0, 4.9], [100.0, 99.0], [31.0, 31.0]])  # IoU 0.5, 0.49, 0.99, 0.1
    assert best_possible_recall(boxes, anchors) == 0.5
    assert best_possible_recall(boxes, anchors, threshold=0.09) == 1.0


@pytest.mark.parametrize("boxes", [np.ones((2, 2)), np.array([[1.0, 2.0], [0.0, 3.0], [2.0, 2.0]])])
def test_too_few_or_flat_boxes_are_refused(boxes):
    with pytest.raises(ValueError, match="at least 3 boxes with positive width and height"):
        kmeans_anchors(boxes, 3)
