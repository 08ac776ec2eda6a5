"""Fine-tuning on a part of the labels, from checkpoint and images to metrics; killed, and in two processes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.classification_trials import make_trial, run_until_killed
from tests.outcome_checks import assert_metrics_follow
from transfer.tasks.classification import finetune_task, task
from transfer.tasks.classification.finetune import checkpoint_path
from transfer.tasks.classification.protocol import load_protocol
from transfer.trial import Outcome, Trial
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ("epochs=2", "batch_size=10", "labels_fraction=0.7", "norm_batch=5")
NUM_STEPS = 4
SMALLER_LAST = ("epochs=2", "batch_size=8", "labels_fraction=0.7", "norm_batch=4")  # steps of 8, 8 and 6 of 21 images


def test_a_trial_repeats_bit_for_bit_and_scores_the_test_images_once(few_digits: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    trial = make_trial(
        "demo-1pct", *QUICK, data=few_digits, work_dir=tmp_path / "a", progress=lambda *s: steps.append(s)
    )
    first = task.run(trial)
    assert first == task.run(dataclasses.replace(trial, work_dir=tmp_path / "b", progress=lambda *step: None))
    assert [step for step in steps if step[2] == "fine-tuning"] == [(n, 4, "fine-tuning") for n in range(1, 5)]
    assert first.test_scorings == [{"split": "val", "num_images": 30, "purpose": "final scoring"}]
    assert first.choices["labelled_images"] == 21
    assert_metrics_follow(first)
    assert first.references == {"majority class": {"top1": pytest.approx(100 / 3)}}
    assert 0 < first.metrics["top1"].value <= 100
    assert first.protocol_difference[0] == "labels_fraction: 0.01 -> 0.7"
    assert not list((tmp_path / "a").glob("*.pth"))  # weights are not kept
    assert list((tmp_path / "a" / "tensorboard").rglob("events*"))


def test_a_killed_trial_goes_on_to_the_same_metrics(few_digits: Path, tmp_path: Path) -> None:
    trial = make_trial("demo-1pct", *QUICK, data=few_digits, work_dir=tmp_path / "whole")
    whole = task.run(trial)
    steps: list[int] = []
    trial = dataclasses.replace(trial, work_dir=tmp_path / "killed")
    trial.work_dir.mkdir()
    run_until_killed(trial, 3)
    resumed = task.run(dataclasses.replace(trial, progress=lambda done, total, what: steps.append(done)))
    assert resumed == whole
    assert steps[0] == NUM_STEPS  # three were done


def test_what_another_trial_left_is_not_taken_up(few_digits: Path, tmp_path: Path) -> None:
    trial = make_trial("demo-1pct", *QUICK, data=few_digits, work_dir=tmp_path)
    run_until_killed(trial, 3)
    steps: list[int] = []
    task.run(dataclasses.replace(trial, seed=1, progress=lambda done, total, what: steps.append(done)))
    assert steps[:NUM_STEPS] == [1, 2, 3, 4]


def _weights(trial: Trial, num_processes: int) -> tuple[Outcome, dict[str, Any]]:
    """Outcome and final weights; these are read as they go to the scoring."""
    kept: dict[str, Any] = {}
    protocol, difference = load_protocol(trial.benchmark, trial.overrides)

    def keep(done: int, total: int, what: str) -> None:
        if what == "test images" and not kept:
            path = checkpoint_path(trial, finetune_task.CHECKPOINT)
            kept.update(torch.load(path, weights_only=True)["state"]["model"])

    trial = dataclasses.replace(trial, progress=keep)
    return finetune_task.run(trial, protocol, difference, num_processes), kept


def _last_loss(work_dir: Path) -> float:
    curves = EventAccumulator(str(work_dir / "tensorboard" / finetune_task.CHECKPOINT)).Reload()
    return float(curves.Scalars("train/loss")[-1].value)


@pytest.mark.parametrize("overrides", [QUICK, SMALLER_LAST])
def test_two_processes_train_as_one_does(few_digits: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    trial = make_trial("demo-1pct", *overrides, data=few_digits, work_dir=tmp_path / "one")
    one, expected = _weights(trial, 1)
    other_dir = tmp_path / "two"
    other_dir.mkdir()
    two, found = _weights(dataclasses.replace(trial, work_dir=other_dir), 2)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert two.metrics["top1"].value == pytest.approx(one.metrics["top1"].value, abs=0.5)
    assert _last_loss(other_dir) == pytest.approx(_last_loss(trial.work_dir), rel=1e-3)


def test_a_folder_of_one_s_own_takes_a_list_of_labelled_images(few_digits: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (few_digits / "train").rglob("*.png"))[::3]
    labels = tmp_path / "third.txt"
    labels.write_text("\n".join(names))
    quick = ("epochs=1", "batch_size=4", "norm_batch=4", "views.size=32", "views.resize=36")
    trial = make_trial("folder-10pct", *quick, data=few_digits, work_dir=tmp_path / "work", labels=labels)
    outcome = task.run(trial)
    assert outcome.choices["labelled_images"] == len(names) == 10
    assert outcome.metrics.keys() == {"top1"}  # of three classes, five are always right
    assert "list " in outcome.resolved_config
    drawn = task.run(dataclasses.replace(trial, labels=None, work_dir=tmp_path / "drawn_work"))
    assert drawn.choices["labelled_images"] == 3
    assert drawn.choices["labelled_images_sha256"] != outcome.choices["labelled_images_sha256"]


def test_a_part_of_imagenet_s_labels_is_refused_without_its_list(few_digits: Path, tmp_path: Path) -> None:
    trial = make_trial("imagenet-1pct", data=few_digits, work_dir=tmp_path)
    with pytest.raises(UserError, match=r"1percent\.txt.*--labels"):
        task.run(trial)
    assert not list(tmp_path.iterdir())


def test_test_images_of_other_classes_are_refused(few_digits: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(few_digits, root)
    (root / "val" / "7").rename(root / "val" / "8")
    quick = ("epochs=1", "batch_size=4", "norm_batch=4", "views.size=32", "views.resize=36")
    with pytest.raises(UserError, match=r"other classes.*7, 8"):
        task.run(make_trial("folder-100pct", *quick, data=root, work_dir=tmp_path / "work"))


def test_divergence_is_an_error_and_not_a_figure(few_digits: Path, tmp_path: Path) -> None:
    trial = make_trial("demo-1pct", *QUICK, "lr_backbone=1e20", "lr_head=1e20", data=few_digits, work_dir=tmp_path)
    with pytest.raises(FloatingPointError, match="learning rate"):
        task.run(trial)


def test_finetuning_fits_its_labelled_images_and_freezes_nothing(few_digits: Path, tmp_path: Path) -> None:
    from transfer.tasks.classification.datasets import splits_of
    from transfer.tasks.classification.loader import scoring_view
    from transfer.tasks.classification.scoring import outputs
    from transfer.weights.of_trial import torch_backbone

    quick = ("epochs=12", "batch_size=10", "views.max_shift=0", "lr_backbone=0.01", "lr_head=0.1", "labels_fraction=1")
    trial = make_trial("demo-1pct", *quick, data=few_digits, work_dir=tmp_path)
    protocol, _ = load_protocol(trial.benchmark, trial.overrides)
    labelled = splits_of(trial).train
    before = torch_backbone(trial)[0].state_dict()
    model, backbone = finetune_task.train(trial, protocol, labelled)
    logits = outputs(
        model,
        labelled,
        scoring_view(protocol.views, backbone.arch, backbone.preprocessing),
        batch_size=10,
        device="cpu",
    )
    assert (logits.argmax(1) == labelled.labels).mean() >= 0.9
    changed = {name for name, value in model[0].state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before)
