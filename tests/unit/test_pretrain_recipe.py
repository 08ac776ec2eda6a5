"""Recipes: the official settings, overrides, the hash that guards a resume."""

import dataclasses
import re

import pytest
import torch

import twist_configs.pretrain
from pretrain import checks, planner
from pretrain.loss.twist import multicrop_twist_loss
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.model.twist_model import TwistModel
from pretrain.recipe import as_dict, recipe_sha256
from twist_common import overrides
from twist_common.errors import UserError


@pytest.mark.parametrize("name", twist_configs.pretrain.RECIPES)
def test_every_recipe_is_listed_under_its_own_name(name: str) -> None:
    recipe = twist_configs.pretrain.get(name)
    assert recipe.name == name
    doc = twist_configs.pretrain.RECIPES[name].__doc__ or ""
    assert f"tools/pretrain.sh {name}" in doc and "Expect:" in doc


def test_a_recipe_that_no_override_made_is_held_against_the_ranges_too() -> None:
    recipe = twist_configs.pretrain.get("rn50")
    negative = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, lr=-0.5))
    with pytest.raises(UserError, match=r"recipe rn50: optim\.lr is -0\.5, it cannot be negative"):
        checks.check(negative)


def test_rn50_has_the_official_settings() -> None:
    recipe = twist_configs.pretrain.get("rn50")
    assert (recipe.epochs, recipe.data.batch_size) == (800, 2048)
    assert (recipe.model.backbone, recipe.model.hidden, recipe.model.num_classes) == ("resnet50", 4096, 4096)
    assert (recipe.model.activation, recipe.model.nbs, recipe.model.bunch_size) == ("relu", True, 256)
    crops = recipe.crops
    assert (crops.global_size, crops.global_scale, crops.num_views) == (224, (0.4, 1.0), 14)
    assert (crops.local_size, crops.local_scale) == (96, (0.05, 0.4))
    augmentation = recipe.augmentation
    jitter = (augmentation.brightness, augmentation.contrast, augmentation.saturation, augmentation.hue)
    assert (augmentation.jitter, jitter, augmentation.gray) == (0.8, (0.4, 0.4, 0.2, 0.1), 0.2)
    assert augmentation.blur == (1.0, 0.1, 0.5) and augmentation.solarize == (0.0, 0.2, 0.0)
    optim = recipe.optim
    assert (optim.name, optim.lr, optim.weight_decay, optim.weight_decay_end) == ("lars", 0.5, 1.5e-6, None)
    assert (optim.momentum, optim.eta, optim.clip_norm) == (0.9, 0.001, None)
    assert (recipe.loss.alpha, recipe.loss.beta, recipe.loss.eps) == (1.0, 1.0, 1e-5)
    assert recipe.schedule.final_lr_ratio == 0.001 and not recipe.momentum_encoder.enabled


def test_self_labeling_of_rn50_has_the_official_settings() -> None:
    stage = twist_configs.pretrain.get("rn50").self_labeling
    assert (stage.epochs, stage.lr, stage.warmup_epochs) == (50, 0.05, 5)
    assert (stage.global_scale, stage.local_scale, stage.keep) == ((0.14, 1.0), (0.05, 0.14), (0.5, 0.6))


def test_vits_have_the_official_settings() -> None:
    small, base = twist_configs.pretrain.get("deit_s"), twist_configs.pretrain.get("vit_b")
    for recipe in (small, base):
        assert (recipe.epochs, recipe.self_labeling.epochs, recipe.data.batch_size) == (300, 0, 1024)
        assert (recipe.model.num_classes, recipe.model.activation, recipe.model.bunch_size) == (4096, "gelu", 256)
        assert (recipe.loss.alpha, recipe.loss.beta) == (0.4, 1.0)
        average = recipe.momentum_encoder
        assert (average.enabled, average.start, average.end) == (True, 0.996, 1.0)
        assert (recipe.optim.name, recipe.optim.clip_norm, recipe.optim.weight_decay) == ("adamw", 3.0, 0.06)
        assert (recipe.crops.global_scale, recipe.crops.local_scale) == ((0.4, 1.0), (0.05, 0.4))
    assert (small.model.backbone, base.model.backbone) == ("deit_small", "vit_base")
    assert (small.crops.num_local, base.crops.num_local) == (6, 10)
    assert (small.optim.lr, base.optim.lr) == (3e-4, 7.5e-4)
    assert (small.optim.weight_decay_end, base.optim.weight_decay_end) == (0.12, None)
    assert (small.model.drop_path, base.model.drop_path) == (0.0, 0.1)


def test_variants_differ_from_rn50_only_where_the_protocol_says() -> None:
    base = as_dict(twist_configs.pretrain.get("rn50"))

    def changed(name: str) -> set[str]:
        return {key for key, value in as_dict(twist_configs.pretrain.get(name)).items() if value != base[key]}

    assert changed("rn50_cluster") == {"name", "model", "self_labeling"}
    assert (
        twist_configs.pretrain.get("rn50_cluster").total_epochs == 800
    )  # of the official README's row; rn50's has 850
    assert twist_configs.pretrain.get("rn50_cluster").model.num_classes == 1000
    assert changed("rn50_nomc") == {"name", "crops", "model", "self_labeling"}
    nomc = twist_configs.pretrain.get("rn50_nomc")
    assert (nomc.crops.num_views, nomc.crops.global_scale, nomc.model.num_classes) == (2, (0.08, 1.0), 32768)
    assert nomc.total_epochs == 800
    assert changed("rn50w2") == {"name", "epochs", "data", "model"}
    wide = twist_configs.pretrain.get("rn50w2")
    assert (wide.model.backbone, wide.data.batch_size, wide.model.bunch_size) == ("resnet50w2", 32 * 60, 240)
    assert (wide.epochs, wide.total_epochs) == (200, 250)


@pytest.mark.parametrize(
    ("name", "num_gpus"),
    [("rn50", 16), ("rn50_nomc", 8), ("rn50_cluster", 16), ("rn50w2", 32), ("deit_s", 16), ("vit_b", 32)],
)
def test_docstring_names_the_hardware_and_the_hours_that_the_planner_predicts(name: str, num_gpus: int) -> None:
    recipe = twist_configs.pretrain.get(name)
    doc = " ".join((twist_configs.pretrain.RECIPES[name].__doc__ or "").split())
    plan = planner.plan(recipe, num_gpus=num_gpus)
    assert f"{num_gpus} GPUs with {plan.images_per_gpu} images each" in doc
    assert f"{plan.gpu_hours:.0f} A100-hours at {100 * plan.efficiency:.0f} % of peak" in doc
    memory_gb = re.search(r"of (\d+) GB or more", doc)
    assert memory_gb and plan.memory.total / planner.GIB < int(memory_gb[1])


@pytest.mark.parametrize("name", twist_configs.pretrain.RECIPES)
def test_every_recipe_builds_and_learns_at_reduced_size(name: str) -> None:
    size = ["crops.global_size=64", "crops.local_size=32", "model.hidden=16", "model.num_classes=8"]
    recipe = overrides.apply(twist_configs.pretrain.get(name), size)
    torch.manual_seed(0)
    settings, num_local = recipe.model, min(1, recipe.crops.num_local)
    backbone = build_backbone(settings.backbone, settings.drop_path)
    head = ProjectionHead(
        backbone.num_features, settings.hidden, settings.num_classes, activation=settings.activation, nbs=settings.nbs
    )
    model = TwistModel(backbone, head)
    sides = [recipe.crops.global_size] * 2 + [recipe.crops.local_size] * num_local
    logits = model([torch.randn(4, 3, side, side) for side in sides])
    multicrop_twist_loss(logits, alpha=recipe.loss.alpha).total.backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert not without, "DistributedDataParallel waits for the gradient of every parameter"
    norms = torch.stack([parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None])
    assert norms.isfinite().all() and norms.median() > 0


def test_hash_covers_what_changes_the_weights_and_nothing_else() -> None:
    recipe = twist_configs.pretrain.get("demo")
    assert recipe_sha256(overrides.apply(recipe, ["run.num_workers=3"])) == recipe_sha256(recipe)
    assert recipe_sha256(overrides.apply(recipe, ["run.compile=true"])) != recipe_sha256(recipe)
    for change in ("seed=1", "optim.lr=0.1", "crops.num_local=7", "loss.eps=1e-6", "epochs=99"):
        assert recipe_sha256(overrides.apply(recipe, [change])) != recipe_sha256(recipe), change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.num_clases=10", "did you mean 'model.num_classes'"),
        ("optim.name=sgd", "known are adamw, lars"),
    ],
)
def test_unknown_settings_are_refused_with_the_known_ones(change: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        overrides.apply(twist_configs.pretrain.get("demo"), [change])


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'rn50_nomc'"):
        twist_configs.pretrain.get("rn50_nomac")


@pytest.mark.parametrize(
    ("num_images", "batch_size"), [(20, 32), (300, 32), (511, 32), (512, 64), (1500, 128), (2048, 256), (10**6, 256)]
)
def test_the_batch_of_small_follows_from_the_number_of_images(num_images: int, batch_size: int) -> None:
    recipe = twist_configs.pretrain.BY_NUMBER_OF_IMAGES["small"](num_images)
    checks.check(recipe)
    assert (recipe.data.batch_size, recipe.model.bunch_size) == (batch_size, None)
    checks.check(overrides.apply(recipe, ["data.batch_size=48"]))
