"""Refuses recipes that cannot be trained, before anything starts."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from pretrain.recipe import PATCH_SIZE, Recipe
from twist_common.errors import UserError
from twist_common.places import install_extra

VIT_PREFIXES = ("deit", "vit")

AT_LEAST_ONE = (
    "epochs", "data.batch_size", "data.accumulation", "crops.global_size", "crops.local_size", "model.hidden",
    "model.num_classes", "model.bunch_size", "run.checkpoint_epochs", "run.keep_epochs", "run.log_steps",
)  # fmt: skip
# Overrides are refused earlier, when they are parsed; this is for recipes from files and from Python.
NOT_NEGATIVE = (
    "crops.num_local", "run.num_workers", "self_labeling.epochs", "optim.lr", "optim.weight_decay", "loss.alpha",
    "loss.beta",
)  # fmt: skip
SHARES = (
    "model.drop_path", "momentum_encoder.start", "momentum_encoder.end", "augmentation.flip", "augmentation.jitter",
    "augmentation.gray", "augmentation.blur", "augmentation.solarize", "augmentation.intensity", "self_labeling.keep",
    "optim.momentum", "schedule.final_lr_ratio",
)  # fmt: skip
SCALES = ("crops.global_scale", "crops.local_scale", "self_labeling.global_scale", "self_labeling.local_scale")
WARMUPS = {"epochs": "schedule.warmup_epochs", "self_labeling.epochs": "self_labeling.warmup_epochs"}
PATCHED_SIZES = ("crops.global_size", "crops.local_size")


def check(recipe: Recipe) -> None:
    """Checks a recipe's values against their ranges and against each other.

    Call it once all overrides are set: until then, values that depend on each other may not match yet.

    Raises:
        UserError: the first thing that is wrong, with what to set.
    """
    for problem in itertools.chain(_range_problems(recipe), _conflicts(recipe)):
        raise UserError(f"recipe {recipe.name}: {problem}")


def _range_problems(recipe: Recipe) -> Iterator[str]:
    """Values that no recipe may have."""
    for key, value in _values(recipe, AT_LEAST_ONE):
        if value is not None and value < 1:
            yield f"{key} is {value}, it must be at least 1"
    for key, value in _values(recipe, NOT_NEGATIVE):
        if value < 0:
            yield f"{key} is {value}, it cannot be negative"
    for key, value in _values(recipe, SHARES):
        for share in value if isinstance(value, tuple) else [value]:
            if not 0 <= share <= 1:
                yield f"{key} is {share}, it must be within 0 to 1"
    if min(recipe.self_labeling.keep) <= 0:
        yield f"self_labeling.keep is {recipe.self_labeling.keep}, its shares must be over 0"
    if not 0 <= recipe.augmentation.hue <= 0.5:
        yield f"augmentation.hue is {recipe.augmentation.hue}, it must be within 0 to 0.5, half a turn either way"
    if recipe.optim.clip_norm is not None and recipe.optim.clip_norm <= 0:
        yield f"optim.clip_norm is {recipe.optim.clip_norm}, which leaves no gradient: set none for no clipping"
    largest = 1.0 if recipe.augmentation.kind == "natural" else 4.0
    for key, (low, high) in _values(recipe, SCALES):
        if not 0 < low <= high <= largest:
            yield f"{key} is {low},{high}, it must rise within 0 to {largest}"


def _conflicts(recipe: Recipe) -> Iterator[str]:
    """Values that do not go together."""
    batch, accumulation, bunch = recipe.data.batch_size, recipe.data.accumulation, recipe.model.bunch_size
    if batch % accumulation:
        yield f"data.batch_size={batch} does not split into data.accumulation={accumulation} equal parts"
    elif bunch is not None and (batch // accumulation) % bunch:
        yield (
            f"model.bunch_size={bunch} does not divide the {batch // accumulation} images that go through the network "
            f"at a time (data.batch_size={batch}, data.accumulation={accumulation}): set a bunch that does"
        )
    backbone = recipe.model.backbone
    is_vit = backbone.startswith(VIT_PREFIXES)
    if recipe.model.drop_path and not is_vit:
        yield f"model.drop_path is for ViTs, not for {backbone}: leave it at 0"
    if recipe.model.position_resampling != "official" and not is_vit:
        yield f"model.position_resampling is for ViTs, not for {backbone}: leave it at official"
    for key, side in _values(recipe, PATCHED_SIZES):
        if is_vit and side % PATCH_SIZE:
            nearest = math.ceil(side / PATCH_SIZE) * PATCH_SIZE
            yield f"{key} is {side}, {backbone} takes multiples of {PATCH_SIZE}: set {nearest}"
    if recipe.self_labeling.epochs and is_vit:
        yield f"self_labeling.epochs is for ResNets, not for {backbone}: leave it at 0"
    for length, warmup in WARMUPS.items():
        num_epochs, num_warmup_epochs = attrgetter(length, warmup)(recipe)
        if num_epochs and num_warmup_epochs is not None and num_warmup_epochs > num_epochs:
            yield (
                f"{warmup}={num_warmup_epochs:g} is longer than {length}={num_epochs}, and the learning rate would not "
                f"reach its peak: set {warmup} too"
            )
    if recipe.run.track != "none" and importlib.util.find_spec(recipe.run.track) is None:
        how = f"{install_extra('trackers')}, or leave it at none"
        yield f"run.track is {recipe.run.track}, which is not installed: {how}"


def _values(recipe: Recipe, keys: tuple[str, ...]) -> list[tuple[str, Any]]:
    return [(key, attrgetter(key)(recipe)) for key in keys]
