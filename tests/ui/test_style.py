"""The Style page without a browser and without networks."""

import base64
import io
import json
import threading
import time

import numpy as np
import pytest
from app_pages import labeled, press, run, said, upload, visit
from image_files import encode
from PIL import Image
from skimage import data

from vision_app.core.errors import ImageError, VisionAppError
from vision_app.style import stylizer
from vision_app.style.options import OptimizeConfig
from vision_app.style.results import Progress
from vision_app.style.samples import samples
from vision_app.style.samples.samples import SAMPLES
from vision_app.style.stylizer import Output, Request, Stylizer
from vision_app.ui import images, models, style, style_job
from vision_app.ui.images import SAMPLES as PHOTOS
from vision_app.ui.style import MAX_RESULTS
from vision_app.ui.style_job import JobSlot, StyleJob
from vision_app.ui.widgets import style_picker

pytestmark = pytest.mark.slow

PHOTO = Image.fromarray(data.rocket()).resize((80, 60))
PHOTO_PIXELS = np.asarray(PHOTO)


class BlendStylizer(Stylizer):
    """Blends the content with the mean color of each style, and keeps the shapes of what it stylized."""

    method = "fast"

    def __init__(self):
        self.shapes = []

    def _stylize(self, request: Request) -> Output:
        content, strength = request.content, request.options.strength
        self.shapes.append(content.shape)
        weighted = zip(request.shares, request.styles.pixels, strict=True)
        color = sum(share * style.mean((0, 1)) for share, style in weighted)
        return Output(np.uint8(content * (1 - strength) + color * strength))


class StepStylizer(BlendStylizer):
    """Takes a step towards the result of `BlendStylizer` for each release of `go_on`."""

    method, longest_side = "optimize", 64

    def __init__(self):
        super().__init__()
        self.go_on, self.error = threading.Semaphore(0), None

    def _stylize(self, request: Request) -> Output:
        content, iterations = request.content, request.options.iterations
        for step in range(1, iterations + 1):
            assert self.go_on.acquire(timeout=20)
            if self.error:
                raise self.error
            size = content.shape[1::-1]
            stopped = request.report(Progress(step, iterations, size, 1234.5, 1.0, 2.0, lambda: content))
            if stopped:
                break
        done = super()._stylize(request).pixels
        return Output(done, ((1.0, 0.5, 0.5),) * step, bool(stopped))


@pytest.fixture(autouse=True)
def small_samples(monkeypatch):
    """Replace the samples by small images."""

    def small(name):
        random = np.random.default_rng(SAMPLES.index(name))
        return random.integers(0, 256, (2, 2, 3), np.uint8).repeat(32, 0).repeat(32, 1)

    for module in (samples, stylizer, style_picker):
        monkeypatch.setattr(module, "sample", small)
    style_picker.samples.clear()
    yield
    style_picker.samples.clear()


@pytest.fixture(autouse=True)
def stylizers(monkeypatch) -> dict[str, Stylizer]:
    """The stylizer of each method."""
    found = {"fast": BlendStylizer(), "optimize": StepStylizer(), "color": Stylizer.load("color")}
    monkeypatch.setattr(models, "stylizer", found.get)
    yield found
    found["optimize"].go_on.release(10_000)


@pytest.fixture
def photo() -> bytes:
    return encode(PHOTO, "PNG")


def choose(page, *styles: str):
    for name in styles:
        page.button(key=f"tile {name}").click()
        run(page)
    return page


def started(photo: bytes, *styles: str, method: str = "Fast"):
    """The page with a photo, styles and a method."""
    page = visit("style")
    labeled(page.radio, "Method").set_value(method)
    return choose(run(upload(page, "Photo", {"my photo.png": photo})), *styles)


def shown(page) -> tuple[np.ndarray, np.ndarray] | None:
    """The images under the slider, before and after."""
    found = page.get("bidi_component")
    if not found:
        return None
    content = json.loads(found[0].proto.json)
    urls = (content["before"], content["after"])
    return tuple(np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))) for url in urls)


def alike(jpeg: np.ndarray, expected: np.ndarray) -> bool:
    """Whether a JPEG shows these pixels; it blurs colors."""
    small = (np.asarray(Image.fromarray(pixels).reduce(4), int) for pixels in (jpeg, expected))
    return jpeg.shape == expected.shape and abs(np.subtract(*small)).mean() < 4


def test_a_visitor_without_images_is_told_what_to_choose(stylizers):
    page = visit("style")
    assert said(page) == ["Choose a photo and a style to see the result here."]
    assert [button.label for button in page.button] == [name.capitalize() for name in SAMPLES]
    page.pills(key="photo sample").set_value(next(iter(PHOTOS)))
    assert said(run(page)) == ["Choose a style to see the result here."]
    assert shown(page) is None and not stylizers["fast"].shapes


def test_a_click_on_a_style_stylizes_the_photo(photo, stylizers):
    page = started(photo, "mosaic")
    before, after = shown(page)
    assert alike(before, np.asarray(PHOTO))
    assert alike(after, stylizers["fast"](PHOTO_PIXELS, samples.sample("mosaic")).pixels)
    assert not said(page)


def test_a_cut_out_is_downloaded_as_one_and_shown_on_white(stylizers, monkeypatch):
    saved = []
    monkeypatch.setattr("vision_app.ui.style.save", lambda label, content, name, mime: saved.append(content))
    photo = PHOTO.convert("RGBA")
    photo.paste((0, 0, 0, 0), (0, 0, 40, 40))
    before, after = shown(started(encode(photo, "PNG"), "mosaic"))
    assert np.abs(before[:32, :32].astype(int) - 255).max() < 8 and np.abs(after[:32, :32].astype(int) - 255).max() < 8
    downloaded = Image.open(io.BytesIO(saved[-1]()))
    assert downloaded.getchannel("A").tobytes() == photo.getchannel("A").tobytes()


def test_another_style_replaces_the_first_and_a_second_click_drops_it(photo, stylizers):
    page = started(photo, "mosaic", "waves")
    assert alike(shown(page)[1], stylizers["fast"](PHOTO_PIXELS, samples.sample("waves")).pixels)
    assert shown(choose(page, "waves")) is None


def test_styles_are_mixed_by_their_weights(photo, stylizers):
    page = started(photo)
    labeled(page.toggle, "Mix several styles").set_value(True)
    choose(run(page), "linocut", "waves")
    labeled(page.slider, "Weight of Linocut").set_value(0.25)
    both = [samples.sample("linocut"), samples.sample("waves")]
    expected = stylizers["fast"](PHOTO_PIXELS, both, weights=(0.25, 1.0)).pixels
    assert alike(shown(run(page))[1], expected)
    labeled(page.toggle, "Mix several styles").set_value(False)
    assert alike(shown(run(page))[1], stylizers["fast"](PHOTO_PIXELS, samples.sample("waves")).pixels)


def test_settings_reach_the_stylizer_and_nothing_is_computed_twice(photo, stylizers):
    page, fast = started(photo, "glass"), stylizers["fast"]
    labeled(page.slider, "Strength").set_value(0.4)
    labeled(page.selectbox, "Colors").set_value("From the photo")
    labeled(page.selectbox, "Output size").set_value(256)
    expected = fast(PHOTO_PIXELS, samples.sample("glass"), strength=0.4, keep_colors="luminance", size=256).pixels
    assert alike(shown(run(page))[1], expected) and expected.shape == (192, 256, 3)
    count = len(fast.shapes)
    labeled(page.selectbox, "Output size").set_value("Same as the photo")
    labeled(page.selectbox, "Colors").set_value("From the style")
    labeled(page.slider, "Strength").set_value(1.0)
    run(page)
    assert len(fast.shapes) == count


def test_only_the_last_results_are_kept(photo):
    page = started(photo, "glass")
    for number in range(MAX_RESULTS + 3):
        labeled(page.slider, "Strength").set_value(number / 20)
        run(page)
    assert len(page.session_state["stylized"]) == MAX_RESULTS


def test_colors_only_offers_no_setting_that_it_refuses(photo, stylizers):
    page = started(photo, "autumn", method="Colors only")
    assert alike(shown(page)[1], stylizers["color"](PHOTO_PIXELS, samples.sample("autumn")).pixels)
    assert [box.label for box in page.selectbox] == ["Output size"]


def test_a_large_photo_is_stylized_smaller_for_the_screen(stylizers):
    page = started(encode(PHOTO.resize((2400, 1800)), "JPEG"), "dots")
    assert stylizers["fast"].shapes == [(768, 1024, 3)] and shown(page)[0].shape == (768, 1024, 3)
    assert any("download has 2400 pixels" in caption.value for caption in page.caption)


def test_an_own_style_is_chosen_at_once(photo, stylizers):
    own = np.full((70, 70, 3), (200, 30, 90), np.uint8)
    own[:35] //= 2
    page = started(photo, "glass")
    upload(page, "Your own styles", {"my [style].png": encode(Image.fromarray(own), "PNG")})
    assert alike(shown(run(page))[1], stylizers["fast"](PHOTO_PIXELS, own).pixels)
    assert any(button.label == "my \\[style\\]\\.png" for button in page.button)


def test_bad_images_are_named_and_the_others_are_used(photo, stylizers, bad_files):
    page = visit("style")
    upload(page, "Your own styles", {name: content for name, (content, _) in bad_files.items()})
    run(upload(page, "Photo", {"my photo.png": photo}))
    assert len(page.error) == len(bad_files)
    for error, (name, (_, reason)) in zip(page.error, bad_files.items(), strict=True):
        assert name.split(".")[0] in error.value and reason in error.value
    assert alike(shown(choose(page, "waves"))[1], stylizers["fast"](PHOTO_PIXELS, samples.sample("waves")).pixels)
    upload(page, "Photo", {"small.png": encode(PHOTO.resize((20, 15)), "PNG")})
    assert "small\\.png\\: too small" in run(page).error[-1].value and shown(page) is None


def test_an_image_unusable_as_a_style_is_named_and_not_offered(photo, stylizers):
    own = {
        "low.png": Image.new("RGB", (90, 9)),
        "long.png": Image.new("RGB", (1200, 40)),
        "fits.png": PHOTO.rotate(180),
    }
    page = started(photo)
    upload(page, "Your own styles", {name: encode(image, "PNG") for name, image in own.items()})
    errors = [error.value for error in run(page).error]
    assert [error.split("\\:")[0] for error in errors] == ["low\\.png", "long\\.png"]
    assert "too small" in errors[0] and "too long" in errors[1]
    assert alike(shown(page)[1], stylizers["fast"](PHOTO_PIXELS, np.asarray(own["fits.png"])).pixels)


@pytest.fixture
def slow(stylizers) -> StepStylizer:
    return stylizers["optimize"]


@pytest.fixture
def slot(monkeypatch) -> JobSlot:
    """The visitor's job slot."""
    found = JobSlot()
    monkeypatch.setattr(style, "job_slot", lambda: found)
    return found


def go_on(page, slow: StepStylizer, job: StyleJob, steps: int = 1):
    """Let the job take so many steps, and draw the page again."""
    before = 0 if job.progress is None else job.progress.iteration
    slow.go_on.release(steps)
    deadline = time.monotonic() + 20
    while job.is_alive() and (job.progress is None or job.progress.iteration < before + steps):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return run(page)


def test_the_classic_method_shows_its_steps_and_then_the_result(photo, slow, slot):
    page = started(photo, "waves", method="Classic")
    assert shown(page) is None and slot.job is None
    labeled(page.number_input, "Steps").set_value(10)
    job = press(run(page), "Start") and slot.job
    assert page.get("progress")[0].proto.text == "Preparing …"
    go_on(page, slow, job, 3)
    assert page.get("progress")[0].proto.text == "Step 3 of 10, 64 x 48 pixels, loss 1234"
    assert page.get("progress")[0].proto.value == 30 and page.get("image")
    slow.go_on.release(7)
    job.join(20)
    run(page)
    expected = BlendStylizer()(PHOTO_PIXELS, samples.sample("waves"), size=64)
    assert alike(shown(page)[1], expected.pixels)
    assert any(caption.value == "64 x 48 pixels, after 10 steps" for caption in page.caption)


def test_a_stopped_result_can_be_saved_and_started_over(photo, slow, slot):
    page = press(started(photo, "waves", method="Classic"), "Start")
    job = slot.job
    go_on(page, slow, job)
    press(page, "Stop")
    assert labeled(page.button, "Stop").disabled
    slow.go_on.release()
    job.join(20)
    assert any(caption.value.endswith("stopped after 2 steps") for caption in run(page).caption)
    assert page.get("download_button") and slot.job is None
    press(page, "Start over")
    assert shown(page) is None and labeled(page.button, "Start")


def test_a_small_photo_keeps_its_size_and_a_large_one_is_reduced_to_the_limit(photo, slow, slot):
    for resized, size in ((PHOTO.resize((48, 36)), (48, 36)), (PHOTO.resize((640, 480)), (64, 48))):
        page = started(encode(resized, "PNG"), "waves", method="Classic")
        assert labeled(page.selectbox, "Output size").value == "Same as the photo, at most 64"
        press(page, "Start")
        job = slot.job
        go_on(page, slow, job)
        assert job.progress.size == size
        job.stop()
        slow.go_on.release()
        job.join(20)


def test_a_visitor_waits_for_the_turn_and_may_stop_waiting(photo, slot):
    with style_job.JOB_LOCK:
        page = press(started(photo, "waves", method="Classic"), "Start")
        job = slot.job
        deadline = time.monotonic() + 20
        while not job.waiting:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert run(page).get("progress")[0].proto.text == "Waiting for another visitor's image …"
        press(page, "Stop")
        job.join(20)
        assert labeled(run(page).button, "Start") and shown(page) is None and slot.job is None


@pytest.mark.parametrize(("method", "holds"), [("fast", True), ("optimize", False)])
def test_other_images_wait_for_a_single_pass_but_not_for_a_job(
    photo, stylizers, slot, monkeypatch, decode_lock, method, holds
):
    held = []
    stylize = stylizers[method]._stylize

    def watched(request):
        held.append(decode_lock.owner is not None)
        return stylize(request)

    monkeypatch.setattr(stylizers[method], "_stylize", watched)
    page = started(photo, "mosaic", method={"fast": "Fast", "optimize": "Classic"}[method])
    if method == "optimize":
        press(page, "Start")
        job = slot.job
        stylizers[method].go_on.release(1000)
        job.join(20)
        assert job.result is not None
    assert held == [holds] and decode_lock.owner is None


def test_a_style_of_the_visitor_and_a_photo_wait_for_their_turn_until_the_page_says_that_it_is_busy(
    photo, stylizers, monkeypatch, decode_lock
):
    image, chosen = images.ImageFile("my photo.png", photo), stylizers["fast"]
    own = style.Style("own", "own", b"", images.ImageFile("own.png", photo))
    request = style.StyleRequest(chosen, image, images.read_image(photo), (own,), style.StyleOptions())
    prepared = request.prepare()
    monkeypatch.setattr(images, "PATIENCE", 0.01)
    decode_lock.acquire()
    for work in (request.prepare, lambda: request.stylize_at_once(prepared, None)):
        with pytest.raises(VisionAppError, match="the page is busy with other visitors' images; try again"):
            work()


@pytest.mark.parametrize("change", ["style", "setting", "photo"])
def test_a_job_that_is_no_longer_wanted_is_stopped(photo, slow, slot, change):
    page = press(started(photo, "waves", method="Classic"), "Start")
    job = slot.job
    if change == "style":
        choose(page, "glass")
    elif change == "setting":
        labeled(page.slider, "Strength").set_value(0.5)
    else:
        upload(page, "Photo", {"broken.png": b"no image"})
    run(page)
    assert job.stopping and slot.job is None


def test_an_error_during_a_job_is_shown(photo, slow, slot):
    slow.error = ImageError("my photo.png", "too blue")
    page = press(started(photo, "waves", method="Classic"), "Start")
    go_on(page, slow, slot.job)
    assert [error.value for error in page.error] == ["my photo\\.png\\: too blue"] and slot.job is None
    assert labeled(run(page).button, "Start")


def test_the_page_offers_as_many_steps_as_the_method_takes_by_default(photo):
    page = started(photo, method="Classic")
    assert labeled(page.number_input, "Steps").value == OptimizeConfig().iterations
