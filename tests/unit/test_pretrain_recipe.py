"""Recipes: the official settings, overrides, the hash that guards a resume."""

import pytest

import configs.pretrain
from common import overrides
from common.errors import UserError
from pretrain.recipe import Recipe, as_dict, recipe_sha256


@pytest.mark.parametrize("name", configs.pretrain.RECIPES)
def test_every_recipe_is_listed_under_its_own_name(name: str) -> None:
    recipe = configs.pretrain.get(name)
    assert recipe.name == name
    doc = configs.pretrain.RECIPES[name].__doc__ or ""
    assert f"tools/pretrain.sh {name}" in doc and "Expect:" in doc


def test_rn50_has_the_official_settings() -> None:
    recipe = configs.pretrain.get("rn50")
    assert (recipe.epochs, recipe.data.batch_size) == (800, 2048)
    assert (recipe.model.backbone, recipe.model.hidden, recipe.model.num_classes) == ("resnet50", 4096, 4096)
    crops = recipe.crops
    assert (crops.global_size, crops.global_scale, crops.num_views) == (224, (0.4, 1.0), 14)
    assert (crops.local_size, crops.local_scale) == (96, (0.05, 0.4))
    augmentation = recipe.augmentation
    jitter = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter, jitter, augmentation.gray) == (0.8, (0.4, 0.4, 0.2, 0.1), 0.2)
    assert augmentation.blur == (1.0, 0.1, 0.5) and augmentation.solarize == (0.0, 0.2, 0.0)
    optim = recipe.optim
    assert (optim.name, optim.lr, optim.weight_decay) == ("lars", 0.5, 1.5e-6)
    assert (optim.momentum, optim.eta, optim.clip_norm) == (0.9, 0.001, None)
    assert (recipe.loss.alpha, recipe.loss.beta, recipe.loss.eps) == (1.0, 1.0, 1e-5)
    assert recipe.schedule.final_lr_ratio == 0.001


def test_variants_differ_from_rn50_only_where_the_protocol_says() -> None:
    base = as_dict(configs.pretrain.get("rn50"))

    def changed(name: str) -> set[str]:
        return {key for key, value in as_dict(configs.pretrain.get(name)).items() if value != base[key]}

    assert changed("rn50_cluster") == {"name", "model"}
    assert configs.pretrain.get("rn50_cluster").model.num_classes == 1000
    assert changed("rn50_nomc") == {"name", "crops", "model"}
    nomc = configs.pretrain.get("rn50_nomc")
    assert (nomc.crops.num_views, nomc.crops.global_scale, nomc.model.num_classes) == (2, (0.08, 1.0), 32768)


def test_hash_covers_what_changes_the_weights_and_nothing_else() -> None:
    recipe = configs.pretrain.get("demo")
    assert recipe_sha256(overrides.apply(recipe, ["run.num_workers=3"])) == recipe_sha256(recipe)
    for change in ("seed=1", "optim.lr=0.1", "crops.num_local=7", "loss.eps=1e-6", "epochs=99"):
        assert recipe_sha256(overrides.apply(recipe, [change])) != recipe_sha256(recipe), change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("epochs=0", "epochs is 0"),
        ("crops.global_scale=0.9,0.4", "crops.global_scale"),
        ("crops.num_local=-1", "negative"),
        ("model.num_clases=10", "did you mean 'num_classes'"),
        ("optim.name=sgd", "known are adamw, lars"),
    ],
)
def test_impossible_settings_are_refused(change: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        overrides.apply(configs.pretrain.get("demo"), [change])


def test_photographs_cannot_be_cropped_beyond_their_edge() -> None:
    recipe: Recipe = configs.pretrain.get("rn50")
    with pytest.raises(UserError, match=r"within 0 to 1\.0"):
        overrides.apply(recipe, ["crops.global_scale=0.4,1.5"])


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'rn50_nomc'"):
        configs.pretrain.get("rn50_nomac")
