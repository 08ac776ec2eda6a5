"""All schedules as pure functions of the step: learning rate, weight decay, teacher momentum, labelled share.

Steps and epochs are counted from 0 over both stages. The values depend on nothing else, so a resumed run has those of
an uninterrupted one, before and after the switch to self-labeling.
"""

from __future__ import annotations

import math

from pretrain.recipe import Recipe


def is_self_labeling(recipe: Recipe, epoch: int) -> bool:
    """Whether the epoch belongs to the second stage."""
    return epoch >= recipe.epochs and recipe.self_labeling.epochs > 0


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate for the recipe's batch: warm-up and cosine of the stage that the step belongs to."""
    schedule, second, switch = recipe.schedule, recipe.self_labeling, recipe.epochs * steps_per_epoch
    if is_self_labeling(recipe, step // steps_per_epoch):
        step, num_epochs = step - switch, second.epochs
        peak, warmup_epochs = scaled_lr(second.lr, recipe.data.batch_size), second.warmup_epochs
    else:
        num_epochs = recipe.epochs
        peak = scaled_lr(recipe.optim.lr, recipe.data.batch_size)
        default = default_warmup_epochs(recipe.total_epochs)
        warmup_epochs = default if schedule.warmup_epochs is None else schedule.warmup_epochs
    return warmup_cosine(
        step,
        num_steps=num_epochs * steps_per_epoch,
        warmup_steps=round(warmup_epochs * steps_per_epoch),
        peak=peak,
        final=peak * schedule.final_lr_ratio,
    )


def weight_decay(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Half a cosine over the first stage if the recipe sets an end value, then constant."""
    optim = recipe.optim
    if optim.weight_decay_end is None:
        return optim.weight_decay
    return half_cosine(step, recipe.epochs * steps_per_epoch, optim.weight_decay, optim.weight_decay_end)


def teacher_momentum(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The share of itself that the momentum encoder keeps in a step: half a cosine over the first stage."""
    momentum = recipe.momentum_encoder
    return half_cosine(step, recipe.epochs * steps_per_epoch, momentum.start, momentum.end)


def keep_share(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The share of the batch that is labelled: half a cosine over the second stage."""
    stage = recipe.self_labeling
    return half_cosine(step - recipe.epochs * steps_per_epoch, stage.epochs * steps_per_epoch, *stage.keep)


def half_cosine(step: int, num_steps: int, start: float, end: float) -> float:
    """From ``start`` at step 0 to ``end`` at step ``num_steps``, one after the last step.

    Follows the official ``cosine_scheduler``. Steps outside this range have the value of the nearer end.
    """
    done = min(1.0, max(0.0, step / max(1, num_steps)))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


def warmup_cosine(step: int, *, num_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Linear warm-up from 0 to ``peak``, then half a cosine from ``peak`` towards ``final``.

    Follows the official ``adjust_learning_rate``: the value at step 0 is 0 (``peak`` without warm-up), and ``final``
    would be reached one step after the last.

    Args:
        step: counted from 0.
        num_steps: length of the schedule, warm-up included.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    return half_cosine(step - warmup_steps, num_steps - warmup_steps, peak, final)


def default_warmup_epochs(num_epochs: int) -> int:
    """The official warm-up: 10 epochs; 5 for runs of up to 50 epochs (both stages together), 3 for up to 20."""
    if num_epochs <= 20:
        return 3
    return 5 if num_epochs <= 50 else 10


def scaled_lr(lr_per_256: float, batch_size: int) -> float:
    """The linear scaling rule: the learning rate for this batch, given the one for a batch of 256."""
    return lr_per_256 * batch_size / 256
