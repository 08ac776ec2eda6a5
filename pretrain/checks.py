"""What no pre-training run can have, found before it starts."""

from __future__ import annotations

from collections.abc import Iterator

from common.errors import UserError
from pretrain.recipe import Recipe

VIT_PREFIXES = ("deit", "vit")
VIT_PATCH = 16  # pixels


def check(recipe: Recipe) -> None:
    """Holds a recipe's values against their ranges and against each other.

    Called once all overrides are set: on the way there, values that belong together may not fit yet.

    Raises:
        UserError: the first thing that is wrong, with what to set.
    """
    for problem in _problems(recipe):
        raise UserError(f"recipe {recipe.name}: {problem}")


def _problems(recipe: Recipe) -> Iterator[str]:
    yield from _range_problems(recipe)
    yield from _scale_problems(recipe)
    yield from _batch_problems(recipe)
    is_vit = recipe.model.backbone.startswith(VIT_PREFIXES)
    if recipe.model.drop_path and not is_vit:
        yield f"model.drop_path is for ViTs, not for {recipe.model.backbone}: leave it at 0"
    for key, side in {"global_size": recipe.crops.global_size, "local_size": recipe.crops.local_size}.items():
        if is_vit and side % VIT_PATCH:
            yield f"crops.{key} is {side}, {recipe.model.backbone} takes multiples of {VIT_PATCH}"
    if recipe.self_labeling.epochs and is_vit:
        yield f"self_labeling.epochs is for ResNets, not for {recipe.model.backbone}: leave it at 0"


def _range_problems(recipe: Recipe) -> Iterator[str]:
    at_least_one = {
        "epochs": recipe.epochs,
        "data.batch_size": recipe.data.batch_size,
        "data.accumulation": recipe.data.accumulation,
        "crops.global_size": recipe.crops.global_size,
        "crops.local_size": recipe.crops.local_size,
        "model.hidden": recipe.model.hidden,
        "model.num_classes": recipe.model.num_classes,
        "model.bunch_size": 1 if recipe.model.bunch_size is None else recipe.model.bunch_size,
        "run.checkpoint_epochs": recipe.run.checkpoint_epochs,
        "run.keep_epochs": 1 if recipe.run.keep_epochs is None else recipe.run.keep_epochs,
        "run.log_steps": recipe.run.log_steps,
    }
    yield from (f"{key} is {value}, it must be at least 1" for key, value in at_least_one.items() if value < 1)
    not_negative = {
        "crops.num_local": recipe.crops.num_local,
        "run.num_workers": recipe.run.num_workers,
        "self_labeling.epochs": recipe.self_labeling.epochs,
        "optim.lr": recipe.optim.lr,
        "optim.weight_decay": recipe.optim.weight_decay,
        "loss.alpha": recipe.loss.alpha,
        "loss.beta": recipe.loss.beta,
    }
    yield from (f"{key} is {value}, it cannot be negative" for key, value in not_negative.items() if value < 0)
    shares = {
        "model.drop_path": recipe.model.drop_path,
        "momentum_encoder.start": recipe.momentum_encoder.start,
        "momentum_encoder.end": recipe.momentum_encoder.end,
        "self_labeling.keep": max(recipe.self_labeling.keep),
        "augmentation.flip": recipe.augmentation.flip,
        "augmentation.jitter": recipe.augmentation.jitter,
        "augmentation.gray": recipe.augmentation.gray,
    }
    yield from (f"{key} is {value}, it must be within 0 to 1" for key, value in shares.items() if not 0 <= value <= 1)
    if min(recipe.self_labeling.keep) <= 0:
        yield f"self_labeling.keep is {recipe.self_labeling.keep}, its shares must be over 0"


def _scale_problems(recipe: Recipe) -> Iterator[str]:
    largest = 1.0 if recipe.augmentation.kind == "natural" else 4.0
    scales = {
        "crops.global_scale": recipe.crops.global_scale,
        "crops.local_scale": recipe.crops.local_scale,
        "self_labeling.global_scale": recipe.self_labeling.global_scale,
        "self_labeling.local_scale": recipe.self_labeling.local_scale,
    }
    for key, (low, high) in scales.items():
        if not 0 < low <= high <= largest:
            yield f"{key} is {low},{high}, it must rise within 0 to {largest}"


def _batch_problems(recipe: Recipe) -> Iterator[str]:
    batch, accumulation, bunch = recipe.data.batch_size, recipe.data.accumulation, recipe.model.bunch_size
    if batch % accumulation:
        yield f"data.batch_size={batch} does not split into data.accumulation={accumulation} equal parts"
    elif bunch is not None and (batch // accumulation) % bunch:
        yield (
            f"model.bunch_size={bunch} does not divide the {batch // accumulation} images that go through the network "
            f"at a time (data.batch_size={batch}, data.accumulation={accumulation}): set a bunch that does"
        )
