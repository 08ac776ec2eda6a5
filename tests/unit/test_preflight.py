"""What is refused before any trial, whatever the command: settings and architectures, with or without ``--plan``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run_module
from transfer import benchmarks
from transfer.preflight.weights import check_architectures
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from twist_common.errors import UserError


def planned(name: str, source: str, *overrides: str) -> list[TrialPlan]:
    return plan_trials(
        runs=Path("runs"),
        suite="test",
        benchmarks=[benchmarks.get(name)],
        weights=[weights_ref(source)],
        seeds=[0],
        overrides=overrides,
        must_exist=False,
    )


@pytest.mark.parametrize(
    ("name", "arch", "wanted", "way_out"),
    [
        ("voc", "vit_base", "resnet50", "use voc-any"),
        ("voc", "resnet101", "resnet50", "use voc-any"),
        ("voc-c4", "deit_small", "resnet50", "use voc-any"),
        ("voc-frozen", "convnext_tiny", "resnet50", "use voc-any --frozen"),
        ("coco", "deit_small", "resnet50", "use coco-any"),
        (
            "demo-coco",
            "resnet50",
            "resnet18",
            "add MODEL.RESNETS.DEPTH=50 MODEL.RESNETS.RES2_OUT_CHANNELS=256 to run it off protocol",
        ),
        (
            "demo-voc",
            "vit_base",
            "resnet18",
            "add MODEL.BACKBONE.NAME=build_any_backbone to run it off protocol",
        ),
        ("seg-voc", "vit_base", "resnet50", "use seg-voc-any"),
        ("demo-seg", "resnet50", "resnet18", "set model.backbone's depth and what reads its features (off protocol)"),
    ],
)
def test_weights_of_another_architecture_are_refused_with_the_benchmark_that_is_made_for_them(
    name: str, arch: str, wanted: str, way_out: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_architectures(planned(name, f"random:{arch}"))
    assert str(caught.value) == (
        f"{name} is for a {wanted}, random:{arch} is a {arch}: give weights of a {wanted}, or {way_out}"
    )


@pytest.mark.parametrize(
    ("name", "arch", "overrides"),
    [
        ("voc", "resnet18", ("MODEL.RESNETS.DEPTH=18", "MODEL.RESNETS.RES2_OUT_CHANNELS=64")),  # as it was advised
        ("voc", "resnet50w2", ()),  # of a ResNet's width the proof knows
        ("imagenet-linear", "vit_base", ()),  # any architecture
        ("demo-linear", "vit_base", ("resize=32", "crop=32")),
        ("demo-1pct", "convnext_tiny", ()),  # pyramids take every size
        ("seg-voc-any", "deit_small", ()),
        ("voc-any", "vit_base", ()),
        ("coco-any", "convnext_tiny", ()),
        ("voc-any-frozen", "resnet18", ()),
    ],
)
def test_weights_that_the_overrides_or_the_protocol_ask_for_pass(
    name: str, arch: str, overrides: tuple[str, ...]
) -> None:
    check_architectures(planned(name, f"random:{arch}", *overrides))


@pytest.mark.parametrize(
    ("name", "arch", "overrides", "takes"),
    [
        ("demo-knn", "deit_small", (), "shows images of 28 px, .* which takes whole patches of 16 px"),
        ("demo-1pct", "vit_base", (), "shows images of 28 px, .* which takes whole patches of 16 px"),
        ("demo-cluster", "timm:vit_small_patch14_dinov2", ("crop=30",), "shows images of 30 px, .* patches of 14 px"),
        ("dtd-linear", "timm:beit_base_patch16_224", ("crop=256",), "shows images of 256 px, .* 224x224 px only"),
        ("folder-knn", "timm:maxvit_tiny_rw_256", (), "shows images of 224 px, .* 256x256 px only"),
    ],
)
def test_an_architecture_that_does_not_take_the_images_is_refused_before_the_first_trial(
    name: str, arch: str, overrides: tuple[str, ...], takes: str
) -> None:
    with pytest.raises(UserError, match=takes):
        check_architectures(planned(name, f"random:{arch}", *overrides))


def test_an_architecture_that_nobody_knows_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown architecture 'resnet51': did you mean 'resnet50'"):
        check_architectures(planned("demo-linear", "random:resnet51"))


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("transfer_det", ("demo-voc", "random:resnet18", "SOLVER.MAXITER=3"), "did you mean 'SOLVER.MAX_ITER'"),
        ("transfer_seg", ("demo", "random:resnet18", "train_cfg.max_iter=3"), "did you mean 'max_iters'"),
        ("transfer_cls", ("dtd", "random:resnet50", "crp=3"), "did you mean 'crop'"),
        ("cluster", ("demo", "random:resnet18", "kmeans_image=3"), "did you mean 'kmeans_images'"),
        ("transfer_det", ("voc", "random:resnet18"), "voc is for a resnet50, random:resnet18 is a resnet18"),
        ("suite", ("paper", "random:resnet18"), "voc is for a resnet50, random:resnet18 is a resnet18"),
    ],
)
def test_a_plan_refuses_what_the_trials_would_refuse(
    module: str, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = run_module(f"transfer.commands.{module}", *arguments, "--plan", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
