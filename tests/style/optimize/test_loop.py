"""The classic method: images that take on a style, the same way each time, watched, stopped and resumed."""

import os
import signal
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from tiny_styles import tiny_encoder

from vision_app.core.errors import DataError, ImageError, UsageError
from vision_app.style.optimize import checkpoint
from vision_app.style.optimize import loop as module
from vision_app.style.optimize.loop import DivergedError, Level, fit_style, levels, optimize
from vision_app.style.optimize.losses import Objective, to_tensor
from vision_app.style.options import OPTIMIZERS, OptimizeConfig

pytestmark = pytest.mark.slow

CONTENT = np.ascontiguousarray(data.astronaut()[::7, ::7][:66, 2:72])  # 66 x 70: no multiple of 16
STYLE = np.ascontiguousarray(data.coffee()[::8, ::8][:50])  # 50 x 75, fewer pixels, so never shrunk
OTHER = np.ascontiguousarray(data.chelsea()[::6, ::6][:48])
SHORT = OptimizeConfig(iterations=9)


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


@pytest.fixture
def two_levels(monkeypatch):
    """Small images get a coarse size, too."""
    monkeypatch.setattr(module, "COARSEST", 35)
    monkeypatch.setattr(module, "COARSEST_SHORT", 32)


def costs(encoder, pixels, content=CONTENT, styles=(STYLE,)):
    plain = OptimizeConfig(alpha=1.0, beta=1.0, total_variation=0.0)
    found = Objective(encoder, content, styles, [1 / len(styles)] * len(styles), plain)(to_tensor(pixels))
    return found.content.item(), found.style.item()


def flat(color, height=64, width=72):
    return np.full((height, width, 3), color, dtype=np.uint8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("start", ["content", "noise"])
def test_an_image_takes_on_the_style(encoder, optimizer, start):
    config = OptimizeConfig(iterations=40, optimizer=optimizer, start=start)
    done = optimize(CONTENT, [STYLE], encoder, config)
    assert done.pixels.shape == CONTENT.shape
    assert done.pixels.dtype == np.uint8
    assert (len(done.costs), done.stopped) == (40, False)
    content, style = costs(encoder, done.pixels)
    assert style < 0.1 * costs(encoder, CONTENT)[1]
    assert done.costs[-1][0] < 0.2 * done.costs[0][0]
    assert done.costs[-1][1:] == pytest.approx((content, style), rel=0.3)  # before the last step


def test_the_content_alone_is_reconstructed_from_noise(encoder):
    config = OptimizeConfig(beta=0, total_variation=0, start="noise", iterations=15)
    done = optimize(CONTENT, [STYLE], encoder, config)
    assert done.costs[-1][1] < 0.1 * done.costs[0][0]


def test_l_bfgs_reaches_a_lower_cost_than_adam(encoder):
    ends = [
        optimize(CONTENT, [STYLE], encoder, OptimizeConfig(iterations=15, optimizer=o)).costs[-1][0] for o in OPTIMIZERS
    ]
    assert ends[0] < ends[1]


def test_one_evaluation_is_one_iteration(encoder, two_levels, monkeypatch):
    calls = []
    whole = Objective.__call__
    monkeypatch.setattr(Objective, "__call__", lambda self, image: calls.append(image.shape) or whole(self, image))
    optimize(CONTENT, [STYLE], encoder, SHORT)
    assert calls == 6 * [(33, 35, 3)] + 3 * [(66, 70, 3)]


def test_targets_are_computed_once_for_each_size(encoder, two_levels, monkeypatch):
    passes = []
    handle = encoder.convs["conv1_1"].register_forward_hook(lambda *_: passes.append(1))
    optimize(CONTENT, [STYLE, OTHER], encoder, SHORT)
    handle.remove()
    assert len(passes) == 9 + 2 * 3  # and for each size the content and two styles


@pytest.mark.parametrize("start", ["content", "noise"])
def test_a_seed_repeats_a_run_byte_for_byte(encoder, two_levels, start):
    config = OptimizeConfig(iterations=9, start=start, seed=3)
    first, second = (optimize(CONTENT, [STYLE], encoder, config) for _ in range(2))
    assert first.costs == second.costs
    assert np.array_equal(first.pixels, second.pixels)
    other = optimize(CONTENT, [STYLE], encoder, OptimizeConfig(iterations=9, start=start, seed=4))
    assert np.array_equal(first.pixels, other.pixels) == (start == "content")


def test_it_starts_from_a_given_image(encoder):
    given, config = np.ascontiguousarray(data.rocket()[:66, :70]), OptimizeConfig(iterations=1, start="fast")
    done = optimize(CONTENT, [STYLE], encoder, config, start=given)
    assert abs(done.pixels.astype(int) - given).mean() < 1  # one small step away
    for wrong in ({"config": config}, {"config": SHORT, "start": CONTENT}):
        with pytest.raises(UsageError, match="start"):
            optimize(CONTENT, [STYLE], encoder, **wrong)


def test_strength_leads_from_the_content_to_the_style(encoder):
    """Told by the distance from the content and to the style."""
    found = [
        costs(
            encoder,
            optimize(CONTENT, [STYLE], encoder, OptimizeConfig(strength=s, iterations=10, total_variation=0)).pixels,
        )
        for s in (0, 0.3, 0.6, 1)
    ]
    contents, styles = zip(*found, strict=True)
    assert contents[0] < 1e-4
    assert list(contents) == sorted(contents)
    assert list(styles) == sorted(styles, reverse=True)


def test_strength_means_the_same_at_every_size(encoder):
    """Four times as many positions, which see the same but for seams, neither raise nor lower a part of the cost."""
    ends = []
    for times in (1, 2):
        content, style = (
            np.tile(pixels[:64, :64], (times, times, 1))
            for pixels in (data.chelsea()[::4, ::4], data.coffee()[::5, ::5])
        )
        done = optimize(content, [style], encoder, OptimizeConfig(iterations=10))
        ends.append((*done.costs[-1][1:], abs(done.pixels.astype(float) - content).mean()))
    assert ends[1] == pytest.approx(ends[0], rel=0.5)  # sums would be four times as large


def test_alpha_and_beta_weigh_content_against_style(encoder):
    faithful, painted = (
        costs(encoder, optimize(CONTENT, [STYLE], encoder, OptimizeConfig(beta=beta, iterations=10)).pixels)
        for beta in (1, 1000)
    )
    assert faithful[0] < painted[0]
    assert faithful[1] > painted[1]


def test_total_variation_makes_the_image_smoother(encoder):
    rough, smooth = (
        optimize(CONTENT, [STYLE], encoder, OptimizeConfig(total_variation=weight, iterations=15)).pixels
        for weight in (0, 30)
    )
    assert abs(np.diff(smooth.astype(int), axis=1)).mean() < 0.8 * abs(np.diff(rough.astype(int), axis=1)).mean()


def test_several_styles_share_an_image_by_their_weights(encoder):
    def distances(weights):
        done = optimize(CONTENT, [STYLE, OTHER], encoder, OptimizeConfig(iterations=15), weights=weights).pixels
        return [costs(encoder, done, styles=[style])[1] for style in (STYLE, OTHER)]

    first, equal, second = distances([1, 0]), distances(None), distances([0, 5])
    assert first[0] < equal[0] < second[0]
    assert first[1] > equal[1] > second[1]
    alone = optimize(CONTENT, [STYLE], encoder, SHORT)
    assert np.array_equal(alone.pixels, optimize(CONTENT, [STYLE, OTHER], encoder, SHORT, weights=[2, 0]).pixels)


def test_the_size_of_a_style_does_not_change_the_cost(encoder):
    once, twice = (
        optimize(CONTENT, [np.tile(STYLE[:48, :32], (1, times, 1))], encoder, OptimizeConfig(iterations=1)).costs[0][0]
        for times in (1, 2)
    )
    assert twice == pytest.approx(once, rel=0.5)  # sums over positions would be four times as large


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (40, 200)])
def test_any_size_from_32_works(encoder, shape):
    content = module.scaled(data.astronaut(), shape)
    assert optimize(content, [STYLE], encoder, OptimizeConfig(iterations=3)).pixels.shape == (*shape, 3)


PAIRS = {
    "a style of one color": (CONTENT, flat((30, 90, 200))),
    "a black style": (CONTENT, flat(0)),
    "a content of one color": (flat((200, 30, 90)), STYLE),
    "both of one color": (flat(255), flat(0)),
}


@pytest.mark.parametrize(("content", "style"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_images_of_one_color_can_be_style_and_content(encoder, content, style, optimizer):
    done = optimize(content, [style], encoder, OptimizeConfig(iterations=12, optimizer=optimizer))
    assert np.isfinite(done.costs).all()
    assert done.costs[-1][0] < done.costs[0][0]
    assert costs(encoder, done.pixels, content, [style])[1] < costs(encoder, content, content, [style])[1]


def test_progress_reports_the_iteration_and_a_preview(encoder, two_levels):
    seen, previews = [], []

    def report(progress):
        seen.append(progress)
        previews.append(progress.preview())

    done = optimize(CONTENT, [STYLE], encoder, SHORT, report=report)
    assert [progress.iteration for progress in seen] == list(range(1, 10))
    assert {progress.total for progress in seen} == {9}
    assert [progress.size for progress in seen] == 6 * [(35, 33)] + 3 * [(70, 66)]
    assert [progress.cost for progress in seen] == [row[0] for row in done.costs]
    assert [preview.shape for preview in previews] == [(p.size[1], p.size[0], 3) for p in seen]
    assert np.array_equal(previews[-1], done.pixels)
    last = seen[-1]
    assert (last.content_cost, last.style_cost) == done.costs[-1][1:]


def test_a_report_can_stop_with_the_current_image(encoder, two_levels):
    done = optimize(CONTENT, [STYLE], encoder, SHORT, report=lambda progress: progress.iteration == 3)
    assert (len(done.costs), done.stopped) == (3, True)
    assert done.pixels.shape == CONTENT.shape
    content = costs(encoder, done.pixels)[0]
    assert content < 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("last", [1, 2, 6, 8])  # 6 is the last one of the coarse size
def test_a_stopped_run_resumes_exactly(encoder, two_levels, tmp_path, optimizer, last):
    config, state = OptimizeConfig(iterations=9, optimizer=optimizer), tmp_path / "state.safetensors"
    whole = optimize(CONTENT, [STYLE], encoder, config)
    part = optimize(CONTENT, [STYLE], encoder, config, state=state, report=lambda p: p.iteration == last)
    assert (len(part.costs), part.stopped) == (last, True)
    assert list(tmp_path.iterdir()) == [state]
    begun = []
    rest = optimize(CONTENT, [STYLE], encoder, config, state=state, report=lambda p: begun.append(p.iteration))
    assert begun == list(range(last + 1, 10))
    assert rest.costs == whole.costs
    assert np.array_equal(rest.pixels, whole.pixels)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_resumes_from_its_last_checkpoint(encoder, two_levels, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    state, whole = tmp_path / "state.safetensors", optimize(CONTENT, [STYLE], encoder, SHORT)

    class Killed(BaseException):
        pass

    def report(progress):
        if progress.iteration == 8:
            raise Killed

    with pytest.raises(Killed):
        optimize(CONTENT, [STYLE], encoder, SHORT, state=state, report=report)
    begun = []
    rest = optimize(CONTENT, [STYLE], encoder, SHORT, state=state, report=lambda p: begun.append(p.iteration))
    assert begun == [8, 9]
    assert np.array_equal(rest.pixels, whole.pixels)


def test_ctrl_c_writes_the_state_first(encoder, tmp_path):
    state = tmp_path / "state.safetensors"

    def report(progress):
        if progress.iteration == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        optimize(CONTENT, [STYLE], encoder, SHORT, state=state, report=report)
    begun = []
    optimize(CONTENT, [STYLE], encoder, SHORT, state=state, report=lambda p: begun.append(p.iteration))
    assert begun == [5, 6, 7, 8, 9]


def test_the_state_of_another_run_or_file_is_refused(encoder, tmp_path):
    state = tmp_path / "state.safetensors"
    optimize(CONTENT, [STYLE], encoder, SHORT, state=state, report=lambda p: True)
    others = [
        (OTHER, [STYLE], encoder, SHORT, {}),
        (CONTENT, [OTHER], encoder, SHORT, {}),
        (CONTENT, [STYLE], tiny_encoder(seed=1), SHORT, {}),
        (CONTENT, [STYLE], encoder, OptimizeConfig(iterations=9, beta=7), {}),
        (CONTENT, [STYLE, STYLE], encoder, SHORT, {"weights": [1, 3]}),
    ]
    for content, styles, network, config, more in others:
        with pytest.raises(UsageError, match=r"state\.safetensors: of other images or options"):
            optimize(content, styles, network, config, state=state, **more)
    state.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match=r"state\.safetensors: not a checkpoint"):
        optimize(CONTENT, [STYLE], encoder, SHORT, state=state)


def test_a_cost_that_is_not_a_number_raises():
    broken = tiny_encoder()
    broken.convs["conv3_1"].weight[0] = torch.inf
    with pytest.raises(DivergedError, match=r"the cost became nan in iteration 1 of 9; use --optimizer adam"):
        optimize(CONTENT, [STYLE], broken, SHORT)


@pytest.mark.parametrize("beta", [0, 1e-3, 1e9])
def test_extreme_weights_neither_fail_nor_give_a_gray_image(encoder, beta):
    done = optimize(CONTENT, [STYLE], encoder, OptimizeConfig(beta=beta, iterations=15))
    assert np.isfinite(done.costs).all()
    assert done.pixels.std(axis=(0, 1)).min() > 15
    assert done.costs[-1][0] <= done.costs[0][0]


def test_too_small_images_are_named(encoder):
    with pytest.raises(ImageError, match="content: too small"):
        optimize(CONTENT[:31], [STYLE], encoder, SHORT)
    with pytest.raises(ImageError, match="style 2: too small"):
        optimize(CONTENT, [STYLE, STYLE[:, :20]], encoder, SHORT)


def test_a_style_is_needed(encoder):
    with pytest.raises(UsageError, match="style: at least one"):
        optimize(CONTENT, [], encoder, SHORT)


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, -1], [0, 0], [1, float("nan")]])
def test_weights_that_do_not_fit_are_refused(encoder, weights):
    with pytest.raises(UsageError, match="weights"):
        optimize(CONTENT, [STYLE, OTHER], encoder, SHORT, weights=weights)


@pytest.mark.parametrize(
    ("height", "width", "sizes"),
    [
        (256, 256, [(256, 256)]),
        (512, 512, [(256, 256), (512, 512)]),
        (768, 1024, [(192, 256), (384, 512), (768, 1024)]),
        (1080, 1920, [(135, 240), (270, 480), (540, 960), (1080, 1920)]),
        (300, 200, [(300, 200)]),
        (32, 32, [(32, 32)]),
        (2000, 100, [(2000, 100)]),  # half of it would be too narrow
        (2000, 130, [(1000, 65), (2000, 130)]),
    ],
)
def test_sizes_double_up_to_the_full_size(height, width, sizes):
    assert [level.shape for level in levels(height, width, 150)] == sizes


def test_each_level_takes_half_the_iterations_of_the_one_before():
    assert [level.end - level.begin for level in levels(1024, 1024, 140)] == [80, 40, 20]
    assert [level.end - level.begin for level in levels(1024, 1024, 7)] == [4, 2, 1]
    assert levels(1024, 1024, 6) == (Level((512, 512), 0, 4), Level((1024, 1024), 4, 6))  # too few for three
    assert levels(1024, 1024, 1) == (Level((1024, 1024), 0, 1),)


@given(st.integers(32, 5000), st.integers(32, 5000), st.integers(1, 3000))
def test_iterations_follow_each_other_and_all_are_taken(height, width, iterations):
    found = levels(height, width, iterations)
    assert found[-1].shape == (height, width)
    assert found[0].begin == 0 and found[-1].end == iterations
    assert all(before.end == after.begin for before, after in pairwise(found))
    counts = [level.end - level.begin for level in found]
    assert min(counts) >= 1
    assert min(min(level.shape) for level in found) >= 32
    assert all(before >= after for before, after in pairwise(counts)) or iterations < 100  # rounding


def test_a_style_is_scaled_down_to_the_image_and_never_enlarged():
    style = data.astronaut()  # 512 x 512
    assert fit_style(style, Level((192, 256), 0, 1)).shape == (222, 222, 3)  # 222^2 is 192 x 256, about
    assert fit_style(style[:128], Level((128, 128), 0, 1)).shape == (64, 256, 3)
    assert fit_style(style, Level((600, 800), 0, 1)) is style
    assert min(fit_style(style[:40], Level((64, 64), 0, 1)).shape[:2]) == 32  # else the network could not see it


def test_a_shrunk_style_keeps_its_colors():
    style = data.coffee()
    small = fit_style(style, Level((64, 64), 0, 1))
    assert np.allclose(small.mean((0, 1)), style.mean((0, 1)), atol=1)
