"""The table of all detectors, for one of them on two photos."""

import json
import sys

import compare_detectors
import pytest
from PIL import Image
from skimage import data

pytestmark = pytest.mark.slow


def test_the_table_tells_time_size_and_accuracy(tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number, (image, label, box) in enumerate(
        [(data.chelsea(), 1, [90, 10, 330, 280]), (data.chelsea()[:, ::-1], 1, [30, 10, 330, 280])]
    ):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 451, "height": 300})
        annotations.append({"id": number, "image_id": number, "category_id": label, "bbox": box})
    truth = tmp_path / "cats.json"
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    truth.write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["compare_detectors", str(truth), "--models", "yolo", "--threads", "1"])
    compare_detectors.main()
    heads, plain, again = (line.split("  ") for line in capsys.readouterr().out.splitlines()[-3:])
    table = [dict(zip([h.strip() for h in heads if h], [c.strip() for c in line if c], strict=True))
             for line in (plain, again)]  # fmt: skip
    assert [one["model"] for one in table] == ["yolo", "yolo (tta)"]
    milliseconds = [float(one["ms"].replace(",", "")) for one in table]
    for one in table:
        assert one["images"] == one["of images"] == "2" and one["parameters"] == "0.99 M"
        assert float(one["AP50"]) == pytest.approx(1, abs=0.01) and one["backbone ms"]
    assert milliseconds[1] > 2 * milliseconds[0]


def test_a_name_that_is_not_compared_is_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare_detectors", "nowhere.json", "--models", "yolo,yoko"])
    with pytest.raises(SystemExit) as ended:
        compare_detectors.main()
    assert ended.value.code == 2 and "--models: yoko: must be of yolo, faster-rcnn," in capsys.readouterr().err
