"""Learning rates as pure functions of the step."""

import math


def warmup_cosine(step: int, steps: int, warmup: int, final: float = 0.05) -> float:
    """Factor on the base learning rate: linear from 0 to 1 in `warmup` steps, then half a cosine down to `final`.

    Args:
        step: 0 to `steps` - 1.
        steps: length of the whole run.
        warmup: steps until the full rate.
        final: factor at the end.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
