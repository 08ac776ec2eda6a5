"""Learning rate and weight decay as pure functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, num_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Linear warm-up from 0 to ``peak``, then half a cosine from ``peak`` towards ``final``.

    Follows the official ``adjust_learning_rate``: step 0 has the value 0 (``peak`` without warm-up) and the last
    step is one short of ``final``.

    Args:
        step: counted from 0.
        num_steps: length of the schedule, warm-up included.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, num_steps - warmup_steps))
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * done))


def default_warmup_epochs(num_epochs: int) -> int:
    """The official warm-up: 10 epochs, 5 for runs of up to 50 epochs, 3 for up to 20."""
    if num_epochs <= 20:
        return 3
    return 5 if num_epochs <= 50 else 10


def scaled_lr(lr_per_256: float, batch_size: int) -> float:
    """The linear scaling rule: a rate that is stated for 256 images, for this batch."""
    return lr_per_256 * batch_size / 256
