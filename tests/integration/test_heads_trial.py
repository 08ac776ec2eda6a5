"""Many linear heads on a frozen backbone, from checkpoint and images to metrics; killed, and in two processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.backbones import NARROW_VIT, add_narrow_vit
from tests.classification_trials import make_trial, run_until_killed
from tests.outcome_checks import assert_metrics_follow
from tests.untouched import Asked, assert_untouched_until_scoring, watch
from transfer import benchmarks
from transfer.tasks.classification import heads_task, task
from transfer.tasks.classification.heads import feature_sizes
from transfer.tasks.classification.protocol import load_protocol
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ("epochs=2", "batch_size=12", "lrs=0.1,0.5", "weight_decays=0,0.001")
NUM_STEPS = 6


def test_a_trial_gives_the_official_and_the_chosen_head_and_repeats(few_digits: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    trial = make_trial(
        "demo-heads", *QUICK, data=few_digits, work_dir=tmp_path / "a", progress=lambda *step: steps.append(step)
    )
    outcome = task.run(trial)
    again = tmp_path / "b"
    again.mkdir()
    assert outcome == task.run(dataclasses.replace(trial, work_dir=again, progress=lambda *step: None))
    assert outcome.metrics.keys() == {"top1", "top1_chosen"}  # three classes
    assert_metrics_follow(outcome)
    assert outcome.inflated["top1"] >= max(metric.value for metric in outcome.metrics.values())
    assert outcome.choices["candidates"] == 4 and outcome.choices["val_images"] == 3
    assert outcome.choices["lr"] in (0.1, 0.5) and outcome.choices["feature"] == "pooled"
    assert outcome.test_scorings == [{"split": "val", "num_images": 30, "purpose": "final scoring"}]
    assert (NUM_STEPS, NUM_STEPS, "heads") in steps
    assert not list(trial.work_dir.glob("*.pth"))


def test_a_vit_has_heads_on_three_features(few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_narrow_vit(monkeypatch)
    views = ("views.size=32", "views.max_shift=2")
    trial = make_trial("demo-heads", *QUICK, *views, data=few_digits, work_dir=tmp_path, arch=NARROW_VIT)
    outcome = task.run(trial)
    assert outcome.choices["candidates"] == 3 * 4
    assert outcome.arch == NARROW_VIT


def test_the_features_of_a_vit_are_what_its_parts_give(monkeypatch: pytest.MonkeyPatch) -> None:
    from pretrain.model import build_backbone
    from transfer.tasks.classification.heads import FrozenFeatures

    add_narrow_vit(monkeypatch)
    torch.manual_seed(0)
    module = build_backbone(NARROW_VIT).eval()
    images = torch.randn(2, 3, 32, 48)
    features = FrozenFeatures(module, NARROW_VIT).train()(images)
    assert {name: feature.shape[1] for name, feature in features.items()} == feature_sizes(NARROW_VIT, 48)
    with torch.no_grad():
        tokens = module.forward_features(images)
        torch.testing.assert_close(features["class token"], module(images))
        torch.testing.assert_close(features["class token + mean patch"][:, 48:], tokens[:, 1:].mean(dim=1))
        unnormed = module.forward_intermediates(
            images, 4, norm=False, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
        for block, (_, class_token) in enumerate(unnormed):
            found = features["last 4 class tokens"][:, 48 * block : 48 * (block + 1)]
            torch.testing.assert_close(found, module.norm(class_token)[:, 0])


def test_the_official_head_is_that_of_the_architecture() -> None:
    protocol, _ = load_protocol(benchmarks.get("imagenet-linear"), ())
    official = {
        arch: heads_task.head_settings(protocol, arch)[heads_task.OFFICIAL]
        for arch in ("resnet50", "resnet50w2", "deit_small", "vit_base")
    }
    assert (official["resnet50"].feature, official["resnet50"].lr) == ("pooled", 0.2)
    assert official["resnet50w2"] == official["resnet50"]
    assert (official["deit_small"].feature, official["deit_small"].lr) == ("last 4 class tokens", pytest.approx(0.08))
    assert official["vit_base"].feature == "last 4 class tokens"
    assert feature_sizes("vit_base", 768)["last 4 class tokens"] == 3072
    assert official["vit_base"].lr == pytest.approx(0.006)


def test_class_token_and_mean_patch_are_a_variant_off_protocol() -> None:
    override = "vit_base.feature=class token + mean patch"
    protocol, difference = load_protocol(benchmarks.get("imagenet-linear"), (override,))
    assert heads_task.head_settings(protocol, "vit_base")[heads_task.OFFICIAL].feature == "class token + mean patch"
    assert len(difference) == 1 and difference[0].startswith("vit_base: ")
    of_all, _ = load_protocol(benchmarks.get("imagenet-linear"), ())
    candidates = heads_task.head_settings(of_all, "vit_base")[1:]
    assert "class token + mean patch" in {candidate.feature for candidate in candidates}


def test_an_official_head_on_a_feature_that_there_is_not_is_refused() -> None:
    protocol, _ = load_protocol(benchmarks.get("imagenet-linear"), ("resnet.feature=class token",))
    with pytest.raises(UserError, match=r"feature of resnet50.*class token"):
        heads_task.head_settings(protocol, "resnet50")


def test_the_choice_is_by_held_out_images_and_never_the_official_head() -> None:
    ranks = np.array([[0, 3, 0, 1], [0, 0, 0, 0], [0, 0, 2, 0]])
    assert heads_task.chosen_head(ranks) == 3  # as often right as the others, and nearest where it is wrong
    assert heads_task.chosen_head(np.array([[0, 1, 0], [0, 0, 0]])) == 2


def test_a_killed_trial_goes_on_to_the_same_metrics(few_digits: Path, tmp_path: Path) -> None:
    trial = make_trial("demo-heads", *QUICK, data=few_digits, work_dir=tmp_path / "whole")
    whole = task.run(trial)
    steps: list[int] = []
    trial = make_trial(
        "demo-heads",
        *QUICK,
        data=few_digits,
        work_dir=tmp_path / "killed",
        progress=lambda done, total, what: steps.append(done),
    )
    run_until_killed(trial, 4)
    assert task.run(trial) == whole
    assert steps[:2] == [5, 6]  # four were done


def test_two_processes_train_as_one_does(few_digits: Path, tmp_path: Path) -> None:
    kept: list[dict] = []
    outcomes = []
    for num_processes in (1, 2):
        work_dir = tmp_path / str(num_processes)

        def keep(done: int, total: int, what: str, path: Path = work_dir / "checkpoint.pth") -> None:
            if what == "test images":
                kept.append(torch.load(path, weights_only=True)["state"]["heads"])

        trial = make_trial("demo-heads", *QUICK, data=few_digits, work_dir=work_dir, progress=keep)
        protocol, difference = load_protocol(trial.benchmark, trial.overrides)
        outcomes.append(heads_task.run(trial, protocol, difference, num_processes))
    for one, two in zip(kept[0]["pooled"], kept[1]["pooled"], strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
    assert outcomes[0].metrics.keys() == outcomes[1].metrics.keys()


def test_neither_heads_nor_finetuning_touch_the_test_images_before_the_final_scoring(
    few_digits: Path, tmp_path: Path
) -> None:
    finetune = ("epochs=1", "batch_size=10", "labels_fraction=0.5")
    trials = [
        Asked(benchmark=name, data=str(few_digits), work_dir=str(tmp_path / name), overrides=overrides)
        for name, overrides in (("demo-heads", QUICK), ("demo-1pct", finetune))
    ]
    for watched in watch(trials):
        assert_untouched_until_scoring(watched, [few_digits / "val"])
