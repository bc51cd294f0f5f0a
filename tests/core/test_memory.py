"""Large images of several threads: how much of them is in memory at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from vision_app import read_image
from vision_app.core import memory
from vision_app.core.memory import reserve, sharing_memory


class Together:
    """Counts the pixels that are reserved at once."""

    def __init__(self):
        self.now = self.most = 0
        self.lock = threading.Lock()

    def hold(self, sizes):
        with sharing_memory():
            for size in sizes:
                reserve(size)
            with self.lock:
                self.now += sizes[-1]
                self.most = max(self.most, self.now)
            threading.Event().wait(0.002)
            with self.lock:
                self.now -= sizes[-1]


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    monkeypatch.setattr(memory, "FREE", 10)
    monkeypatch.setattr(memory, "BUDGET", 100)


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([100], (100, 100)),
        ([500], (500, 500)),  # larger than the budget: alone
        ([48], (96, 96)),
        ([20, 70], (70, 70)),  # the largest of several counts, and what waits for more gives back what it has
        ([10], (20, 80)),  # small ones wait for none
    ],
)
def test_large_images_share_a_budget_whatever_the_number_of_threads(sizes, most):
    together = Together()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(together.hold, [sizes] * 40))
    assert most[0] <= together.most <= most[1]
    assert memory._taken == 0


def test_an_image_waits_for_its_pixels_before_it_is_decoded(tmp_path):
    file = tmp_path / "a.jpg"
    Image.new("RGB", (40, 8)).save(file)
    started, done = threading.Event(), threading.Event()

    def read(**options):
        with sharing_memory():
            started.set()
            read_image(file, **options)
            done.set()

    with sharing_memory():
        reserve(100)
        thread = threading.Thread(target=read)
        thread.start()
        assert started.wait(5) and not done.wait(0.1)
        read_image(file)  # has its share already
        small = threading.Thread(target=read, kwargs={"target": 5})  # decoded at an eighth of its size
        small.start()
        assert done.wait(5)
        small.join()
        done.clear()
    thread.join(5)
    assert done.is_set()
    read_image(file)  # outside of a block, nothing waits
    assert memory._taken == 0


def test_an_error_gives_the_share_back():
    with pytest.raises(ValueError, match="odd"), sharing_memory():
        reserve(100)
        raise ValueError("odd")
    assert memory._taken == 0
