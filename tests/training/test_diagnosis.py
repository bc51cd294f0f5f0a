"""The last line of a run, on made-up curves."""

import numpy as np
import pytest

from vision_app.training.diagnosis import column, diagnose

T = np.linspace(0, 1, 40)
LEARNED = 1 + 9 * np.exp(-12 * T)  # from 10 down to 1, settled


def rows(train, validation=None):
    """Rows as `csv.DictReader` reads them: strings, empty where nothing was validated."""
    losses = [""] * len(train) if validation is None else [str(value) for value in validation]
    pairs = zip(train, losses, strict=True)
    return [{"epoch": str(i), "loss": str(a), "validation_loss": b} for i, (a, b) in enumerate(pairs, start=1)]


CURVES = {
    "both curves come down and settle": (LEARNED, 1.1 * LEARNED, "neither", "settled side by side"),
    "validation is easier, as it is not augmented": (LEARNED, 0.6 * LEARNED, "neither", "settled side by side"),
    "a wide gap": (LEARNED, 1.6 * LEARNED, "overfitting", "validation loss 1.6 is 60% above training loss 1;"),
    "validation turns": (
        LEARNED, np.maximum(0.8 * LEARNED, 0.7 + 0.4 * T), "overfitting", "after epoch 22 while training loss fell",
    ),
    "nothing is learned": (10 - T, 10 - T, "underfitting", "training loss came down from 10 to 9.09 only"),
    "stopped on the way down": (10 - 8 * T, 10 - 8 * T, "underfitting", "validation loss was still falling, by"),
    "the loss explodes": (LEARNED + 3 * T**4, LEARNED + 3 * T**4, "underfitting", "a smaller --learning-rate"),
    "little is learned and that by heart": (10 - T, 16 - T, "both", "66% above training loss"),
    "still falling, far apart": (8 * np.exp(-3 * T), 14 * np.exp(-3 * T), "both", "still falling"),
    "no validation, settled": (LEARNED, None, "neither", "there is no validation loss to compare it with"),
    "no validation, falling": (10 * np.exp(-3 * T), None, "underfitting", "training loss was still falling"),
    "one epoch": ([5.0], [9.0], "unknown", "1 epoch alone; try more --epochs"),
    "two epochs": ([5.0, 4.0], [9.0, 5.0], "unknown", "2 epochs alone; try more --epochs"),
    "two validations": (LEARNED[:4], [9.0, "", "", 5.0], "unknown", "2 validations alone; try more --epochs or a s"),
    "nothing is learned but a little lost": (2.58 + 0.08 * T, None, "underfitting", "did not come down, from 2.58 to"),
    "validation diverges": (3 + 0 * T, 3 + 300 * T, "diverged", "far above the 3 of the first epoch's training; try"),
    "both diverge": (2 + 30 * T, 2 + 30 * T, "diverged", "a smaller --learning-rate"),
    "divergence shows at once": ([5.0], [99.0], "diverged", "validation loss 99 is far above the 5 of"),
}  # fmt: skip


@pytest.mark.parametrize(("train", "validation", "verdict", "words"), CURVES.values(), ids=CURVES)
def test_verdicts_on_made_up_curves(train, validation, verdict, words):
    found = diagnose(rows(train, validation))
    assert (found.verdict, words in found.sentence) == (verdict, True), found
    title = {"both": "underfitting and overfitting: ", "neither": "neither underfitting nor overfitting: "}
    title |= {"unknown": "too short to judge: ", "diverged": "a learning rate that is too high: "}
    assert found.sentence.startswith(title.get(verdict, f"{verdict}: ")) and "; try " in found.sentence


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
@pytest.mark.parametrize("curve", CURVES)
def test_the_verdict_does_not_depend_on_the_unit_of_the_loss(curve, scale):
    train, validation, verdict, _ = CURVES[curve]
    scaled = None if validation is None else [value if value == "" else value * scale for value in validation]
    assert diagnose(rows(np.multiply(train, scale), scaled)).verdict == verdict


def test_noise_does_not_change_the_verdict():
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(1, 0.03, (2, len(T)))
        assert diagnose(rows(LEARNED * noise[0], LEARNED * noise[1])).verdict == "neither"


@pytest.mark.parametrize(
    ("train", "precision", "verdict"),
    [
        (LEARNED, 0.5 - 0.2 * T, "overfitting"),
        (LEARNED, 0.5 - 0.02 * T, "neither"),
        (LEARNED, 0.3 + 0.2 * T, "neither"),
        (LEARNED, 0 * T, "neither"),
        (LEARNED + 3 * T**4, 1 - 0.1 * LEARNED - 0.5 * T**4, "underfitting"),  # training loss rises as well
    ],
)
def test_a_fall_of_average_precision_is_overfitting_while_training_loss_falls(train, precision, verdict):
    curves = [row | {"voc val AP": str(p), "other AP": "0.9"} for row, p in zip(rows(train), precision, strict=True)]
    found = diagnose(curves)
    assert found.verdict == verdict
    assert ("voc val AP fell from 0.482 to 0.318 after epoch 8 while" in found.sentence) == (verdict == "overfitting")


@pytest.mark.parametrize("jump", [1.5, 0.5])
def test_a_jump_of_training_loss_where_the_mosaic_ends_is_no_trend(jump):
    """Neither up nor down; what goes on behind it still counts."""
    plain = np.arange(1, 41) >= 31
    train = np.where(plain, jump * LEARNED, LEARNED)
    assert diagnose(rows(train, 0.5 * LEARNED), plain_from=31).verdict == "neither"
    assert diagnose(rows(train, 2 * jump * LEARNED), plain_from=31).verdict == "overfitting"
    falling = np.where(plain, train * (1.5 - 0.5 * T), train)
    turned = np.where(plain, 0.5 * (0.3 + T), 0.5 * LEARNED)
    found = diagnose(rows(falling, turned), plain_from=31)
    assert found.verdict == "overfitting" and "while training loss fell" in found.sentence


def test_where_all_epochs_are_without_mosaic_all_are_judged():
    assert diagnose(rows(LEARNED, LEARNED), plain_from=-2) == diagnose(rows(LEARNED, LEARNED))


def test_a_rise_before_the_mosaic_ends_still_counts():
    risen = LEARNED + 3 * T**4
    assert "training loss rose by" in diagnose(rows(risen), plain_from=38).sentence


def test_trained_weights_need_not_come_down_far():
    curves = rows(2 - 0.2 * T**0.1, 2 - 0.2 * T**0.1)
    assert diagnose(curves).verdict == "underfitting"
    assert diagnose(curves, pretrained=True).verdict == "neither"


def test_epochs_without_a_measurement_are_passed_over():
    every_fourth = [value if i % 4 == 0 else "" for i, value in enumerate(1.6 * LEARNED, start=1)]
    assert column(rows(LEARNED, every_fourth), "validation_loss")[0] == list(range(4, 41, 4))
    assert diagnose(rows(LEARNED, every_fourth)).verdict == "overfitting"


def test_without_losses_there_is_no_verdict():
    with pytest.raises(ValueError, match="this one has none"):
        diagnose([{"epoch": 1}])
