"""How a network is trained: every setting of the loop, checked when it is made. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.errors import UsageError
from vision_app.core.flags import check_choice, check_ranges
from vision_app.training.schedules import SCHEDULES

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RANGES = {
    "epochs": (1, 10_000), "batch_size": (1, 4096), "accumulate": (1, 4096), "learning_rate": (1e-7, 10.0),
    "momentum": (0.0, 0.9999), "weight_decay": (0.0, 10.0), "l1": (0.0, 10.0), "adversarial": (0.0, 1.0),
    "warmup_epochs": (0.0, 10_000.0), "final": (0.0, 1.0), "cycles": (1, 1000), "plateau_patience": (1, 10_000),
    "average": (0.0, 1.0), "clip": (1e-3, 1e6), "validate_every": (1, 10_000), "patience": (0, 10_000),
    "keep": (0, 1000), "checkpoint_every": (0, 1_000_000), "seed": (0, 2**32 - 1), "devices": (1, 1024),
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained; `models/yolo/CARD.md` has the values of the released detector.

    Attributes:
        epochs: passes over the data.
        batch_size: samples a step, over all processes and parts together.
        accumulate: parts that each process works through its share of a batch in, one after the other; more parts take
            less memory and give the same gradient.
        optimizer: a name in `optimizers.OPTIMIZERS`.
        learning_rate: the full one, which a schedule comes to.
        momentum: of the optimizer; beta 1 of the Adam family.
        weight_decay: L2 on weights with more than one dimension, not on biases and norms.
        l1: L1 on the same weights; together with weight_decay an elastic net.
        adversarial: size of the fast gradient sign step in units of the pixel range 0..1; 0 trains without.
        schedule: a name in `schedules.SCHEDULES`, or "plateau".
        warmup_epochs: of linear rise to the rate at which the schedule starts.
        final: the lowest factor on the learning rate that a schedule comes to.
        cycles: stages of "step", cycles of "restarts" and "triangle".
        plateau_patience: measurements without a better one after which "plateau" lowers the rate.
        average: decay of the exponential moving average of the weights, which is what gets measured and released.
        clip: largest norm of the gradient.
        validate_every: epochs between measurements; the last epoch is always measured.
        patience: measurements without a better one after which training ends; 0 never ends it.
        keep: how many of the best models stay in RUN/top beside RUN/best.
        checkpoint_every: steps between checkpoints within an epoch; 0 for one after each epoch alone.
        seed: of data order, augmentation, initial weights and dropout.
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: processes on this machine, one GPU each on "cuda"; under `torchrun` its number counts instead.
        precision: of the forward pass: "bf16" or "fp16" (autocast), "fp32", or "auto": bf16 where the processor
            computes in it, fp32 elsewhere, where bf16 is many times slower.

    Raises:
        UsageError: a value is out of its range or unknown; the error names the option and the nearest valid value.
    """

    epochs: int = 16
    batch_size: int = 32
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    momentum: float = 0.9
    weight_decay: float = 0.05
    l1: float = 0.0
    adversarial: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: float = 0.5
    final: float = 0.05
    cycles: int = 3
    plateau_patience: int = 2
    average: float = 0.998
    clip: float = 10.0
    validate_every: int = 4
    patience: int = 0
    keep: int = 0
    checkpoint_every: int = 100
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str = "auto"

    def __post_init__(self):
        from vision_app.released.runtime import Execution
        from vision_app.training.optimizers import OPTIMIZERS

        check_ranges(self, RANGES)
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        check_choice("schedule", self.schedule, (*SCHEDULES, "plateau"))
        check_choice("precision", self.precision, PRECISIONS)
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise UsageError("--momentum 0: --optimizer nesterov needs some; without it, take sgd")
        Execution(self.device, "torch").resolved()
