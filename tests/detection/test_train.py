"""What is refused before training starts, and what training makes of photos; whole runs are in tests/cli."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vision_app.data.detection import check_photos, load_coco
from vision_app.data.names import COCO_CLASSES
from vision_app.detection.export import write_model
from vision_app.detection.grid import make_grid
from vision_app.detection.train import SIZES, DetectionTask, Validation, _resized, choose_anchors, train
from vision_app.detection.yolo import YOLO, YOLOConfig
from vision_app.errors import DataError, ModelError, UsageError
from vision_app.training.loop import TrainConfig

ANCHORS = (((10.0, 14.0),), ((60.0, 40.0),), ((120.0, 200.0),))


def coco(folder, photos: int = 3, boxes: int = 3, **changes):
    """A set of photos with a red rectangle each, and a crowd in the corner."""
    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "motorbike"}]}
    for i in range(photos):
        pixels = np.full((90, 120, 3), 60, np.uint8)
        pixels[20:60, 30:80] = (250, 0, 0)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": 120, "height": 90})
        for k in range(boxes):
            box = [30 - k, 20, 50 + k, 40]
            content["annotations"].append({"id": 10 * i + k, "image_id": i, "category_id": 7, "bbox": box})
        content["annotations"].append(
            {"id": 10 * i + 9, "image_id": i, "category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1}
        )
    path = folder / "boxes.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture
def task(tmp_path):
    data, photos = check_photos(load_coco(coco(tmp_path / "set"), COCO_CLASSES))
    network = YOLO(YOLOConfig(len(COCO_CLASSES), ANCHORS, width=4, depths=(1, 1, 1, 1)))
    return DetectionTask(network, data, photos, [], {}, workers=0)


def test_a_batch_holds_photos_and_where_things_are_in_them(task):
    config = TrainConfig(epochs=1, batch_size=3)  # the last epoch: no mosaic
    ((images, targets),) = task.batches(config, 0)
    assert images.shape[0] == 3 and images.shape[2] == images.shape[3] in SIZES
    motorcycle = COCO_CLASSES.index("motorcycle")
    for image, target in zip(images, targets, strict=True):
        assert set(target.labels.tolist()) <= {motorcycle}
        assert (target.confidences == 1).all()
        for x1, y1, x2, y2 in target.boxes.tolist():
            middle = image[:, int((y1 + y2) / 2), int((x1 + x2) / 2)]
            assert middle[0] > middle[1] + 0.2 or torch.allclose(middle[0], middle[1], atol=0.05)  # red, or all gray
        assert sum(len(t.unknown) for t in targets) > 0


def test_batches_depend_on_seed_and_epoch_alone(task):
    config = TrainConfig(epochs=6, batch_size=2)
    (one, _), (two, _), (other, _) = (next(iter(task.batches(config, epoch))) for epoch in (1, 1, 2))
    assert torch.equal(one, two)
    assert one.shape != other.shape or not torch.equal(one, other)


def test_the_loss_of_a_batch_can_be_followed_down_to_the_first_layer(task):
    images, targets = next(iter(task.batches(TrainConfig(epochs=1, batch_size=3), 0)))
    loss, parts = task.loss(images, task.network(images), targets)
    loss.backward()
    assert task.network.backbone.stem.conv.weight.grad.abs().sum() > 0
    assert loss.item() == pytest.approx(5 * parts["box"] + parts["objectness"] + parts["class"], rel=1e-4)


def test_resizing_a_batch_moves_its_boxes_along(task):
    images, targets = next(iter(task.batches(TrainConfig(epochs=1, batch_size=3), 0)))
    smaller, moved = _resized(images, targets, images.shape[-1] // 2)
    assert smaller.shape[-1] == images.shape[-1] // 2
    for before, after in zip(targets, moved, strict=True):
        torch.testing.assert_close(after.boxes, before.boxes / 2)
        torch.testing.assert_close(after.unknown, before.unknown / 2)


def test_anchors_are_chosen_for_boxes_as_the_network_sees_them(tmp_path):
    data = load_coco(coco(tmp_path / "set"), COCO_CLASSES)
    anchors, recall, mean_iou = choose_anchors(data, per_scale=1)
    scale = 416 / 120
    expected = sorted((round((50 + k) * scale, 1), round(40 * scale, 1)) for k in range(3))
    np.testing.assert_allclose([anchor for (anchor,) in anchors], expected)
    assert (recall, mean_iou) == (1.0, pytest.approx(1.0))
    assert len(make_grid(416, 416, (8, 16, 32), anchors).cells) == 52**2 + 26**2 + 13**2


def run(tmp_path, data, validation, **options):
    return train([data], [validation], tmp_path / "run", TrainConfig(epochs=1), log=lambda line: None, **options)


def test_too_few_boxes_for_anchors_are_an_error_that_says_so(tmp_path):
    data, validation = coco(tmp_path / "set", photos=1, boxes=2), coco(tmp_path / "val")
    with pytest.raises(DataError, match="6 anchors cannot be found from 2 boxes"):
        run(tmp_path, data, validation)


@pytest.mark.parametrize("broken", ["missing photo", "corrupt photo", "malformed image", "no json", "no such file"])
def test_a_validation_set_that_cannot_be_measured_on_is_refused_at_once(tmp_path, broken):
    data, validation = coco(tmp_path / "set"), coco(tmp_path / "val")
    named = "1.png"
    if broken == "missing photo":
        (tmp_path / "val" / "images" / "1.png").unlink()
    elif broken == "corrupt photo":
        (tmp_path / "val" / "images" / "1.png").write_bytes(b"no picture")
    elif broken == "malformed image":
        content, named = json.loads(validation.read_text()), r"images\[3\]"
        validation.write_text(json.dumps({**content, "images": [*content["images"], {"id": 79}]}))
    elif broken == "no json":
        validation.write_text("{")
        named = validation.name
    else:
        validation = tmp_path / "val" / "other.json"
        named = validation.name
    with pytest.raises(DataError, match=named):
        run(tmp_path, data, validation)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.safetensors").touch()
    with pytest.raises(UsageError, match="holds a run already"):
        run(tmp_path, tmp_path / "nowhere.json", tmp_path / "nowhere.json")


def test_validation_photos_go_by_the_names_in_the_file(tmp_path):
    validation = Validation.load(coco(tmp_path / "val"))
    assert validation.name == "val boxes"
    assert validation.photos == {f"{i}.png": tmp_path / "val" / "images" / f"{i}.png" for i in range(3)}


def test_validation_photos_may_lie_in_sub_folders_and_boxes_may_stick_out(tmp_path):
    path = coco(tmp_path / "val")
    content = json.loads(path.read_text())
    (tmp_path / "val" / "images" / "sub").mkdir()
    (tmp_path / "val" / "images" / "0.png").rename(tmp_path / "val" / "images" / "sub" / "0.png")
    content["images"][0]["file_name"] = "sub/0.png"
    content["annotations"][0]["bbox"] = [100, 20, 50, 40]
    path.write_text(json.dumps(content))
    photos = Validation.load(path).photos
    assert list(photos) == ["sub/0.png", "1.png", "2.png"]
    assert photos["sub/0.png"] == tmp_path / "val" / "images" / "sub" / "0.png"


def test_a_network_of_other_classes_is_no_start(tmp_path):
    network = YOLO(YOLOConfig(2, ANCHORS, width=4))
    write_model(network, tmp_path / "other", name="other", classes=("a", "b"), defaults={})
    data, validation = coco(tmp_path / "set"), coco(tmp_path / "val")
    with pytest.raises(ModelError, match="not a grid detector of COCO's classes"):
        run(tmp_path, data, validation, initial=tmp_path / "other")
