"""A wrong setting is refused with its option, its range and the nearest valid value."""

import math

import pytest

from vision_app.core.errors import UsageError
from vision_app.training.config import TrainConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs 0: must lie between 1 and 10000; the nearest valid value is 1"),
        ({"batch_size": 5000}, "batch_size 5000: must lie between 1 and 4096; the nearest valid value is 4096"),
        ({"accumulate": 0}, "accumulate 0: must lie between 1 and 4096; the nearest valid value is 1"),
        ({"learning_rate": math.nan}, "learning_rate nan: must lie between 1e-07 and 10.0; the nearest valid"),
        ({"momentum": 1.0}, "momentum 1.0: must lie between 0.0 and 0.9999; the nearest valid value is 0.9999"),
        ({"weight_decay": -1.0}, "weight_decay -1.0: must lie between 0.0 and 10.0; the nearest valid value is 0.0"),
        ({"warmup_epochs": -0.5}, "warmup_epochs -0.5: must lie between 0.0 and 10000.0"),
        ({"ema_decay": 1.5}, "ema_decay 1.5: must lie between 0.0 and 1.0; the nearest valid value is 1.0"),
        ({"clip": 0.0}, "clip 0.0: must lie between 0.001 and 1000000.0; the nearest valid value is 0.001"),
        ({"patience": -1}, "patience -1: must lie between 0 and 10000; the nearest valid value is 0"),
        ({"seed": -1}, "seed -1: must lie between 0 and 4294967295; the nearest valid value is 0"),
        ({"precision": "bf61"}, "precision bf61: must be one of auto, fp32, bf16, fp16; did you mean bf16?"),
        ({"optimizer": "Adam W"}, "optimizer Adam W: must be one of sgd, momentum, nesterov, adagrad, rmsprop, "),
        ({"schedule": "onecycle"}, "plateau; did you mean one-cycle?"),
        ({"device": "gpu"}, "device gpu: must be auto, cpu, cuda or cuda:N; did you mean cpu?"),
        ({"optimizer": "nesterov", "momentum": 0.0}, "momentum 0: optimizer nesterov needs some"),
    ],
)
def test_values_out_of_range_are_refused_with_their_option(changes, message):
    with pytest.raises(UsageError) as error:
        TrainConfig(**changes)
    assert message in str(error.value)
