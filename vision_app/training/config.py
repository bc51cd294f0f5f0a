"""How a network is trained: every setting of the loop, checked when it is made. Imports nothing heavy."""

from dataclasses import dataclass

from vision_app.core.errors import UsageError
from vision_app.core.flags import check_choice, check_ranges, flag
from vision_app.released.execution import Execution
from vision_app.training.schedules import SCHEDULES

OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamax", "nadam", "adamw",
)  # fmt: skip
CHOICES = {
    "optimizer": OPTIMIZERS, "schedule": (*SCHEDULES, "plateau"), "precision": ("auto", "fp32", "bf16", "fp16"),
}  # fmt: skip
RANGES = {
    "epochs": (1, 10_000), "batch_size": (1, 4096), "accumulate": (1, 4096), "learning_rate": (1e-7, 10.0),
    "momentum": (0.0, 0.9999), "weight_decay": (0.0, 10.0), "l1": (0.0, 10.0), "adversarial": (0.0, 1.0),
    "warmup_epochs": (0.0, 10_000.0), "min_lr_ratio": (0.0, 1.0), "cycles": (1, 1000), "plateau_patience": (1, 10_000),
    "ema_decay": (0.0, 1.0), "clip": (1e-3, 1e6), "validate_every": (1, 10_000), "patience": (0, 10_000),
    "keep": (0, 1000), "checkpoint_every": (0, 1_000_000), "seed": (0, 2**32 - 1), "devices": (1, 1024),
}  # fmt: skip
RENAMED = {"average": "ema_decay", "final": "min_lr_ratio", "held": "freeze_blocks"}
"""Names of settings in files of version 0.1, and today's."""


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained; `models/yolo/CARD.md` has the values of the released detector.

    Attributes:
        epochs: Passes over the data.
        batch_size: Samples a step, over all processes and gradient-accumulation steps together.
        accumulate: Gradient-accumulation steps per batch; more steps take less memory and give the same gradient.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Peak learning rate.
        momentum: Momentum, or beta 1 for Adam variants.
        weight_decay: L2 regularization of weights with more than one dimension, not of biases and norms.
        l1: L1 regularization of the same weights; together with weight_decay an elastic net.
        adversarial: Size of the fast gradient sign step in units of the pixel range 0..1; 0 turns it off.
        schedule: A name in `schedules.SCHEDULES`, or "plateau".
        warmup_epochs: Epochs of linear warm-up to where the schedule starts.
        min_lr_ratio: Lowest learning rate of a schedule, relative to the peak.
        cycles: Stages of "step", cycles of "restarts" and "triangle".
        plateau_patience: Validations without improvement after which "plateau" lowers the learning rate.
        ema_decay: Decay of the exponential moving average of the weights; the EMA weights are evaluated and saved.
        clip: Largest norm of the gradient, which is clipped to it.
        validate_every: Epochs between validations; the last epoch is always validated.
        patience: Validations without improvement after which training stops; 0 never stops it.
        keep: How many of the best models stay in RUN/top beside RUN/best.
        checkpoint_every: Steps between checkpoints within an epoch; 0 for one after each epoch only.
        seed: Seed of data order, augmentation, initial weights and dropout.
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: Processes on this machine, one GPU each on "cuda"; under `torchrun` its number counts instead.
        precision: Of the forward pass: "bf16" or "fp16" (autocast), "fp32", or "auto": bf16 where the processor
            computes in it, fp32 elsewhere, where bf16 is many times slower.

    Raises:
        UsageError: A value is out of its range or unknown; the error names the option and the nearest valid value.
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
    min_lr_ratio: float = 0.05
    cycles: int = 3
    plateau_patience: int = 2
    ema_decay: float = 0.998
    clip: float = 10.0
    validate_every: int = 4
    patience: int = 0
    keep: int = 0
    checkpoint_every: int = 100
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise UsageError(f"{flag('momentum')} 0: {flag('optimizer')} nesterov needs some; without it, use sgd")
        Execution(self.device, "torch").resolved()
