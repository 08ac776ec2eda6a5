"""Recipes that cannot be trained are refused before anything starts, with what to set."""

import pytest

import twist_configs.pretrain
from pretrain import checks
from pretrain.recipe import Recipe
from twist_common import overrides
from twist_common.errors import UserError


def recipe(*changes: str, name: str = "rn50") -> Recipe:
    return overrides.apply(twist_configs.pretrain.get(name), changes)


@pytest.mark.parametrize("name", sorted(twist_configs.pretrain.RECIPES))
def test_every_recipe_passes(name: str) -> None:
    checks.check(twist_configs.pretrain.get(name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("epochs=0", "epochs is 0, it must be at least 1"),
        ("data.accumulation=0", "data.accumulation is 0"),
        ("model.bunch_size=0", "model.bunch_size is 0"),
        ("run.keep_epochs=0", "run.keep_epochs is 0"),
        ("crops.num_local=-1", "crops.num_local is -1, it cannot be negative"),
        ("optim.lr=-0.1", "optim.lr is -0.1"),
        ("self_labeling.epochs=-5", "self_labeling.epochs is -5"),
        ("self_labeling.keep=0.5,1.2", "self_labeling.keep is 1.2, it must be within 0 to 1"),
        ("self_labeling.keep=0,0.6", "must be over 0"),
        ("momentum_encoder.end=1.5", "momentum_encoder.end is 1.5"),
        ("augmentation.blur=1,1.5,0.5", "augmentation.blur is 1.5, it must be within 0 to 1"),
        ("augmentation.hue=0.9", "augmentation.hue is 0.9, it must be within 0 to 0.5"),
        ("schedule.warmup_epochs=801", r"schedule\.warmup_epochs=801 is longer than epochs=800"),
        ("self_labeling.epochs=4", r"self_labeling\.warmup_epochs=5 is longer than self_labeling\.epochs=4"),
        ("optim.momentum=1.5", "optim.momentum is 1.5"),
        ("schedule.final_lr_ratio=5", "schedule.final_lr_ratio is 5.0"),
        ("crops.global_scale=0.8,0.4", r"crops.global_scale is 0.8,0.4, it must rise within 0 to 1\.0"),
        ("self_labeling.local_scale=0,0.4", "self_labeling.local_scale is 0.0,0.4"),
        ("model.drop_path=0.1", "model.drop_path is for ViTs, not for resnet50"),
        ("model.position_resampling=timm", "model.position_resampling is for ViTs, not for resnet50"),
        ("data.accumulation=3", "data.batch_size=2048 does not split into data.accumulation=3"),
        ("model.bunch_size=300", "model.bunch_size=300 does not divide the 2048 images"),
    ],
)
def test_bad_value_is_named_with_what_it_must_be(change: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        checks.check(recipe(change))


def test_values_that_fit_only_together_may_be_set_one_after_the_other() -> None:
    checks.check(recipe("model.bunch_size=48", "data.batch_size=96"))


def test_bunch_larger_than_an_accumulated_part_is_refused() -> None:
    with pytest.raises(UserError, match="does not divide the 128 images that go through the network at a time"):
        checks.check(recipe("data.accumulation=16", "model.bunch_size=256"))


def test_crops_that_are_no_whole_patches_are_refused_for_vits() -> None:
    with pytest.raises(UserError, match=r"crops\.local_size is 90, deit_small takes multiples of 16: set 96"):
        checks.check(recipe("crops.local_size=90", name="deit_s"))


def test_clipping_at_zero_the_official_code_s_word_for_no_clipping_is_refused() -> None:
    with pytest.raises(UserError, match=r"optim\.clip_norm is 0\.0, which leaves no gradient: set none"):
        checks.check(recipe("optim.clip_norm=0"))
    checks.check(recipe("optim.clip_norm=none"))
