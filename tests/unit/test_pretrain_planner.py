"""The planner: counts against another counter and by hand, the formulas, what it says about memory."""

import dataclasses
import re
import warnings

import pytest
import torch
from torchvision.models import ResNet50_Weights, ViT_B_16_Weights

import twist_configs.pretrain
from pretrain import planner
from pretrain.counting import Counts, count, macs, saved_bytes
from pretrain.model import build_backbone
from pretrain.model.vit import ViTBackbone
from pretrain.recipe import Recipe
from twist_common import overrides
from twist_common.errors import UserError
from twist_common.gpu_kinds import GPUS, Gpu

GIGA = 1e9


def recipe(*changes: str, name: str = "rn50") -> Recipe:
    return overrides.apply(twist_configs.pretrain.get(name), changes)


def counts_of(recipe: Recipe) -> Counts:
    return count(recipe.model, recipe.crops)


def test_rn50_is_the_published_amount_of_work() -> None:
    plan = planner.plan(recipe("self_labeling.epochs=0"), num_gpus=16, efficiency=0.19)
    assert plan.flop_per_image / GIGA == pytest.approx(107, abs=0.5)
    assert plan.flop == pytest.approx(1.1e20, rel=0.01)
    assert 500 < plan.gpu_hours < 600


def test_views_cost_what_torchvision_states_for_its_weights() -> None:
    counts = counts_of(recipe())
    fc = 2048 * 1000  # the classifier, which they count
    assert (counts.global_crop.macs + fc) / GIGA == pytest.approx(ResNet50_Weights.DEFAULT.meta["_ops"], abs=0.001)
    assert counts.head.macs == 2048 * 4096 + 4096 * 4096 + 4096 * 4096
    assert counts.num_parameters == 23_508_032 + 2048 * 4096 + 2 * 4096**2 + 3 * 4096 + 2 * 2 * 4096
    vit = counts_of(recipe(name="vit_b"))
    fc = 768 * 1000
    assert (vit.global_crop.macs + fc) / GIGA == pytest.approx(ViT_B_16_Weights.DEFAULT.meta["_ops"], abs=0.001)


def test_counts_are_fvcores() -> None:
    from fvcore.nn import FlopCountAnalysis

    with torch.device("meta"):
        network = build_backbone("resnet18")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FlopCountAnalysis(build_backbone("resnet18").eval(), torch.zeros(1, 3, 96, 96))
        theirs.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert macs(network, (3, 96, 96)) == theirs.by_operator()["conv"]


def test_attention_is_counted() -> None:
    with torch.device("meta"):
        network = ViTBackbone(num_features=24, num_heads=2, depth=1)
    tokens, width = 4 + 1, 24
    products = tokens * width * (3 * width + width + 4 * width + 4 * width)
    attention = 2 * tokens * tokens * width
    assert macs(network, (3, 32, 32)) == 4 * 3 * 16 * 16 * width + products + attention


def test_saved_bytes_are_those_of_a_network_counted_by_hand() -> None:
    with torch.device("meta"):
        network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(inplace=True))
    # In bfloat16: the input of the linear layer, of the norm, and the activation's output, which takes its place.
    assert saved_bytes(network, (8,)) == 2 * (8 + 16 + 16)


def test_counting_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    counts_of(recipe(name="deit_s"))
    assert torch.equal(torch.rand(2), expected)


def test_teacher_costs_a_forward_of_the_global_views_in_the_first_stage_only() -> None:
    base = recipe()
    counts = counts_of(base)
    assert planner.flop_per_image(base, counts)[0] == planner.flop_per_image(base, counts)[1]
    first, second = planner.flop_per_image(recipe("momentum_encoder.enabled=true"), counts)
    assert second == planner.flop_per_image(base, counts)[0]
    assert first - second == 4 * (counts.global_crop.macs + counts.head.macs)


def test_accumulated_parts_go_forward_twice_and_take_their_share_of_the_memory() -> None:
    whole, parts = (planner.plan(recipe(f"data.accumulation={num}")) for num in (1, 4))
    assert parts.flop_per_image == pytest.approx(whole.flop_per_image * 8 / 6)
    assert parts.memory.activations == whole.memory.activations / 4
    assert (parts.memory.logits, parts.memory.views) == (whole.memory.logits, whole.memory.views)


def test_memory_is_what_it_says() -> None:
    plan = planner.plan(recipe(name="deit_s"), num_gpus=16)
    num, counts = plan.counts.num_parameters, plan.counts
    assert plan.images_per_gpu == 64
    assert plan.memory.parameters + plan.memory.gradients + plan.memory.optimizer == (4 + 4 + 8) * num
    assert plan.memory.momentum_encoder == 6 * num
    kept = 2 * counts.global_crop.saved_bytes + 6 * counts.local_crop.saved_bytes + 8 * counts.head.saved_bytes
    assert plan.memory.activations == 64 * kept
    assert plan.memory.views == 64 * 3 * 4 * (2 * 224**2 + 6 * 96**2)


def test_time_follows_gpus_efficiency_epochs_and_images() -> None:
    base = planner.plan(recipe("self_labeling.epochs=0"), efficiency=0.19)
    faster = planner.plan(
        recipe("self_labeling.epochs=0", "epochs=400"),
        gpu=GPUS["h100"],
        num_gpus=16,
        efficiency=0.38,
        num_images=640_000,
    )
    ratio = (GPUS["h100"].tflops / GPUS["a100-40gb"].tflops) * (0.38 / 0.19) * (800 / 400) * (1_281_167 / 640_000)
    assert base.gpu_hours / faster.gpu_hours == pytest.approx(ratio)
    assert base.days / faster.days == pytest.approx(2 * ratio)
    assert faster.gpu_hours * 3600 * faster.images_per_second / 16 == pytest.approx(400 * 640_000)


@pytest.mark.parametrize(("name", "measured"), [("rn50", 1029), ("deit_s", 1520), ("vit_b", 545)])
def test_assumed_speeds_are_those_measured_on_an_h200(name: str, measured: float) -> None:
    plan = planner.plan(recipe(name=name), gpu=GPUS["h200"], num_gpus=1)  # docs/log.md, 2026-11-26
    assert plan.images_per_second == pytest.approx(measured, rel=0.08) and not plan.is_measured


def test_bandwidth_limits_the_assumed_speed() -> None:
    def speed(gpu: Gpu) -> float:
        return planner.plan(recipe(), gpu=gpu, num_gpus=1).images_per_second

    h200 = GPUS["h200"]
    assert speed(GPUS["h100"]) < 0.8 * speed(h200)  # equal arithmetic, 3,350 and 4,800 GB/s
    assert speed(dataclasses.replace(h200, tflops=2 * h200.tflops)) < 1.1 * speed(h200)


def test_text_says_whether_the_speed_is_assumed_and_what_accumulation_does_to_the_norms() -> None:
    assumed = planner.text(planner.plan(recipe(), gpu=GPUS["h100"]))
    assert "assumed, not measured" in assumed and "give --efficiency" in assumed
    assert "as measured" in planner.text(planner.plan(recipe(), gpu=GPUS["h100"], efficiency=0.11))
    assert "batch norms see 512 of a step's 2048 images" in planner.text(planner.plan(recipe("data.accumulation=4")))


def test_loader_cores_keep_up_with_the_gpus() -> None:
    plan = planner.plan(recipe(), num_gpus=16, core_seconds_per_image=0.02)
    assert plan.loader_cores - 1 < plan.images_per_second * 0.02 <= plan.loader_cores


def test_views_of_fewer_pixels_take_less_of_a_core() -> None:
    seconds = [planner.default_core_seconds(recipe(f"crops.num_local={num}")) for num in (0, 6, 12)]
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    assert seconds[2] - seconds[1] == pytest.approx(seconds[1] - seconds[0])


def test_text_says_how_a_run_that_is_too_large_would_fit() -> None:
    plan = planner.plan(recipe(), gpu=GPUS["rtx4090"], num_gpus=4)
    accumulation = planner.fitting_accumulation(plan)
    assert accumulation is not None and plan.memory.total > 24 * planner.GIB
    fitting = planner.plan(recipe(f"data.accumulation={accumulation}"), gpu=GPUS["rtx4090"], num_gpus=4)
    assert fitting.memory.total < 24 * planner.GIB
    assert f"fits with data.accumulation={accumulation}" in planner.text(plan)
    assert "note" not in planner.text(fitting)


def test_text_says_so_when_nothing_fits() -> None:
    assert "more GPUs" in planner.text(
        planner.plan(recipe("model.num_classes=4000000"), gpu=GPUS["rtx4090"], num_gpus=1)
    )


def test_text_does_not_call_a_short_run_no_time() -> None:
    shown = planner.text(planner.plan(recipe(), gpu=GPUS["h100"], num_gpus=1, efficiency=0.1, num_images=1000))
    assert re.search(r"time +0\.\d+ GPU-hours, 0\.\d+ hours at", shown), shown


def test_text_shows_every_figure() -> None:
    shown = planner.text(planner.plan(recipe(), gpu=GPUS["v100"], num_gpus=16))
    for part in ("rn50 on 16 x V100 32GB", "GFLOP per image", "GPU-hours", "days", "of 32 GiB", "cores", "no bfloat16"):
        assert part in shown


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_gpus": 0}, "on 0 GPUs: both must be at least 1"),
        ({"num_images": 0}, "for 0 images"),
        ({"num_gpus": 3}, "cannot be shared evenly by 3 processes"),
    ],
)
def test_impossible_plans_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        planner.plan(recipe(), **settings)
