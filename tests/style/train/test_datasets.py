"""Photos to learn styles from: which they are, how crops are cut, and what is set apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_styles import write_photos

from vision_app.core import decode
from vision_app.core.errors import DataError, ImageError
from vision_app.style.train.datasets import PhotoSamples, PhotoSet, PhotoTask, hold_out, list_photos
from vision_app.training.augment import random_numbers
from vision_app.training.config import TrainConfig


def test_folders_are_searched_and_other_files_left_out(tmp_path):
    write_photos(tmp_path / "b" / "deep", 2)
    write_photos(tmp_path / "a", 1)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    photos = list_photos([tmp_path / "b", tmp_path / "a"])
    assert [str(path.relative_to(tmp_path)) for path in photos.paths] == ["b/deep/0.png", "b/deep/1.png", "a/0.png"]
    assert photos.name == "b, a"
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: no images of a known format"):
        list_photos([tmp_path / "none"])


def test_photos_that_need_a_decoder_name_it_before_the_start(tmp_path, monkeypatch):
    write_photos(tmp_path, 5)
    (tmp_path / "a.HEIC").write_bytes((Path(__file__).parents[2] / "data" / "sideways.heic").read_bytes())
    assert len(list_photos([tmp_path])) == 6
    monkeypatch.setattr(decode, "_HAS_HEIC", False)
    with pytest.raises(ImageError, match=r"a\.HEIC: HEIC needs an extra: pip install pi-heif"):
        list_photos([tmp_path])


def test_the_digest_changes_with_the_photos(tmp_path):
    photos = list_photos([write_photos(tmp_path, 3)])
    before = photos.digest()
    assert before == list_photos([tmp_path]).digest() and len(before) == 12
    Image.new("RGB", (50, 50)).save(tmp_path / "1.png")
    assert photos.digest() != before


def test_a_crop_is_a_part_of_the_photo(tmp_path):
    y, x = np.mgrid[:64, :80]
    Image.fromarray(np.stack([x * 3, y * 3, 0 * x], -1).astype(np.uint8)).save(tmp_path / "ramp.png")
    photos, sides, mirrored = PhotoSet([tmp_path / "ramp.png"], "ramp"), [], set()
    for seed in range(20):
        part = photos.crop(0, 32, random_numbers("crop", seed)).astype(float)
        assert part.shape == (32, 32, 3)
        across, down = np.diff(part[..., 0], axis=1).mean() / 3, np.diff(part[..., 1], axis=0).mean() / 3
        assert np.isclose(abs(across), down, atol=0.05)  # as high as wide
        mirrored.add(across < 0)
        sides.append(32 * down)
    assert mirrored == {True, False} and min(sides) > 0.6 * 64 - 2 and max(sides) < 64 + 2
    assert np.array_equal(photos.crop(0, 32, random_numbers("crop", 1)), photos.crop(0, 32, random_numbers("crop", 1)))


def test_the_center_is_the_largest_square(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 10:50] = 255
    Image.fromarray(pixels).save(tmp_path / "white.png")
    assert (PhotoSet([tmp_path / "white.png"], "")).center(0, 20).min() == 255


def test_a_damaged_photo_is_named_in_the_error(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"broken\.png"):
        list_photos([tmp_path]).crop(0, 32, random_numbers("crop", 0))


def test_held_out_photos_are_not_trained_on(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    learned, measured = hold_out(PhotoSet(paths, "x"), seed=3)
    assert len(measured) == 4 and len(learned) == 16
    assert sorted(learned.paths + measured.paths) == sorted(paths)
    assert (
        hold_out(PhotoSet(paths, "x"), seed=3)[1].paths == measured.paths != hold_out(PhotoSet(paths, "x"), 4)[1].paths
    )
    with pytest.raises(DataError, match="4 images, too few to hold any out; give at least 5"):
        hold_out(PhotoSet(paths[:4], "x"), 0)


class Keys(PhotoSamples):
    """Gives each sample's place in the epoch and its photo back."""

    def __getitem__(self, key):
        return torch.tensor([*key, self.size, self.seed, self.epoch])


def test_samples_do_not_depend_on_processes_or_interruptions(tmp_path):
    photos, config = PhotoSet([tmp_path / f"{i}.png" for i in range(23)], "x"), TrainConfig(batch_size=5, seed=7)

    def keys(**share):
        task = PhotoTask(None, photos, photos, size=32, workers=0)
        task.samples = Keys
        return [(255 * batch).round().int().tolist() for batch in task.images(config, 2, **share)]

    whole = keys()
    assert [key[0] for batch in whole for key in batch] == list(range(20))
    assert len({key[1] for batch in whole for key in batch}) == 20 and whole[0][0][2:] == [32, 7, 2]
    assert keys(start=3) == whole[3:]
    for start in (0, 2):
        first, second = (keys(rank=rank, world=2, start=start) for rank in range(2))
        assert [a + b for a, b in zip(first, second, strict=True)] == whole[start:]
