"""Segmentation trials with the real MMSegmentation: every protocol's model, and whole trials on a few scenes."""

from __future__ import annotations

import contextlib
import copy
import errno
import math
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.outcome_checks import assert_metrics_follow
from tests.segmentation_trials import CHECKPOINTS, NUM_TEST, make_trial
from transfer import benchmarks
from transfer.tasks.segmentation import hooks, task
from transfer.tasks.segmentation.config import load_protocol, resolve_config
from transfer.tasks.segmentation.extensions import MergeForeground, register_extensions
from transfer.tasks.segmentation.hooks import VerifyBackbone
from transfer.tasks.segmentation.runner import SegmentationJob, build_runner, named, replace_sync_bn
from transfer.trial import Trial
from transfer.weights.convert.convert import converted_weights
from twist_common.errors import UserError
from twist_common.files import atomic_path

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")


def make_job(trial: Trial, *, config: Any = None) -> SegmentationJob:
    if config is None:
        config = resolve_config(load_protocol(trial.benchmark.config_path), trial.overrides)[0]
        task.point_to_data(config, trial.data)
    return SegmentationJob(
        config=config,
        weights=converted_weights(trial, "mmseg").path,
        checkpoint=None,
        name="test",
        seed=trial.seed,
        device="cpu",
        work_dir=trial.work_dir,
    )


@pytest.mark.parametrize(
    "name", ["seg-voc", "seg-cityscapes", "demo-seg", "seg-voc-frozen", "seg-cityscapes-frozen", "demo-seg-frozen"]
)
def test_every_protocol_builds_and_takes_a_training_step(name: str) -> None:
    from mmengine.optim import OptimWrapper
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    config = load_protocol(benchmarks.get(name).config_path)
    config.model.data_preprocessor.size = (64, 64)
    replace_sync_bn(config.model)
    register_extensions()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(config.model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    masks = torch.randint(0, config.model.decode_head.num_classes, (2, 1, 64, 64))
    masks[:, :, :4] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]
    images = list(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    model.train()
    before = copy.deepcopy(model.state_dict())
    logged = model.train_step({"inputs": images, "data_samples": samples}, optimizer)
    assert math.isfinite(logged["loss"].item())
    moved = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == ({"decode_head"} if name.endswith("frozen") else {"backbone", "neck", "decode_head"})


def test_trial_repeats_bit_for_bit_and_reports_its_floor(
    scenes: Path, weights_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[int, int, str]] = []
    trial = make_trial(scenes, weights_dir, tmp_path / "a")
    first = task.run(replace(trial, progress=lambda *step: steps.append(step)))
    printed = capsys.readouterr().out
    again = task.run(make_trial(scenes, weights_dir, tmp_path / "b"))
    assert final_weights(first) == final_weights(again)
    assert first.metrics.keys() == {"miou", "macc", "aacc"}
    assert first.references == {"all background": floor_by_hand(scenes)}
    assert "train_cfg.max_iters: 30 -> 4" in first.protocol_difference
    assert (first.arch, first.proof["target"]) == ("resnet18", "mmseg")
    assert [step for step in steps if step[2] == "training"] == [(i, 4, "training") for i in (1, 2, 3, 4)]
    assert steps[-1] == (2, 2, "testing")
    assert list((tmp_path / "a" / "tensorboard").iterdir())
    assert len(first.pictures) == NUM_TEST
    assert all(Image.open(picture).size == (3 * 240 + 2 * 8, 240) for picture in first.pictures)
    assert [picture.name for picture in first.pictures] == [picture.name for picture in again.pictures]
    assert printed == ""


def test_frozen_trial_changes_nothing_of_the_backbone_but_learns(
    scenes: Path, weights_dir: Path, tmp_path: Path
) -> None:
    trial = make_trial(scenes, weights_dir, tmp_path, CHECKPOINTS, benchmark="demo-seg-frozen")
    outcome = task.run(trial)
    file = torch.load(converted_weights(trial, "mmseg").path, weights_only=True)["state_dict"]
    early, late = (torch.load(tmp_path / f"iter_{i}.pth", weights_only=True)["state_dict"] for i in (2, 4))
    assert all(torch.equal(late[f"backbone.{name}"], value) for name, value in file.items())
    assert not torch.equal(early["decode_head.classifiers.0.weight"], late["decode_head.classifiers.0.weight"])
    assert not [name for name in late if name.startswith("neck.")]
    assert outcome.standing == "off protocol", "the run is short"
    assert_metrics_follow(outcome)


def test_frozen_backbone_that_moved_is_refused(scenes: Path, weights_dir: Path, tmp_path: Path) -> None:
    trial = make_trial(scenes, weights_dir, tmp_path, benchmark="demo-seg-frozen")
    runner = build_runner(make_job(trial), lambda *step: None)
    runner.model.init_weights()
    hook = next(hook for hook in runner.hooks if isinstance(hook, VerifyBackbone))
    hook.after_train(runner)
    runner.model.backbone.bn1.running_mean += 1
    with pytest.raises(UserError, match=r"bn1\.running_mean"):
        hook.after_train(runner)


def final_weights(outcome: Any) -> tuple[dict[str, float], str]:
    return {name: metric.value for name, metric in outcome.metrics.items()}, outcome.resolved_config


def floor_by_hand(scenes: Path) -> dict[str, float]:
    """All background: its IoU and pixel accuracy are its share of the pixels, the other class has 0."""
    root = scenes / "VOCdevkit" / "VOC2007"
    names = (root / "ImageSets/Segmentation/test.txt").read_text().split()
    pixels = np.concatenate([np.array(Image.open(root / f"SegmentationClass/{name}.png")).ravel() for name in names])
    pixels = pixels[pixels != 255]
    share = 100 * float((pixels == 0).mean())
    return {"miou": round(share / 2, 2), "macc": 50.0, "aacc": round(share, 2)}


def test_resumed_trial_ends_as_an_uninterrupted_one(scenes: Path, weights_dir: Path, tmp_path: Path) -> None:
    whole = task.run(make_trial(scenes, weights_dir, tmp_path / "whole", CHECKPOINTS))
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "whole", killed)
    (killed / "iter_4.pth").unlink()
    steps: list[tuple[int, int, str]] = []
    trial = make_trial(scenes, weights_dir, killed, CHECKPOINTS)
    resumed = task.run(replace(trial, progress=lambda *step: steps.append(step)))
    assert steps[0] == (3, 4, "training")
    assert final_weights(resumed) == final_weights(whole)
    left, right = (
        torch.load(folder / "iter_4.pth", weights_only=True)["state_dict"] for folder in (killed, tmp_path / "whole")
    )
    assert all(torch.equal(left[name], right[name]) for name in right)
    newer = replace(trial.benchmark, protocol_version=trial.benchmark.protocol_version + 1)
    steps.clear()
    task.run(replace(trial, benchmark=newer, progress=lambda *step: steps.append(step)))
    assert steps[0] == (1, 4, "training"), "what an older protocol left is not taken up"


def test_checkpoint_is_written_beside_the_next_iterations(
    scenes: Path, weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def progress(done: int, total: int, what: str) -> None:
        if (done, what) == (3, "training"):
            assert not (tmp_path / "iter_2.pth").exists()
            goes_on.set()

    @contextlib.contextmanager
    def slow_path(path: Path) -> Iterator[Path]:
        assert goes_on.wait(60), "the training waited for the file"
        with atomic_path(path) as temporary:
            yield temporary

    monkeypatch.setattr(hooks, "atomic_path", slow_path)
    task.run(replace(make_trial(scenes, weights_dir, tmp_path, CHECKPOINTS), progress=progress))
    early, late = (torch.load(tmp_path / f"iter_{i}.pth", weights_only=True)["state_dict"] for i in (2, 4))
    assert any(not torch.equal(early[name], late[name]) for name in late)


def test_full_disk_ends_the_training_at_the_next_iteration(
    scenes: Path, weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def full(path: Path) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
        yield path

    monkeypatch.setattr(hooks, "atomic_path", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*iter_2\.pth'"):
        task.run(make_trial(scenes, weights_dir, tmp_path, CHECKPOINTS))
    assert not list(tmp_path.glob("iter_*"))


def test_two_initialisations_with_one_seed_share_neck_and_head(scenes: Path, weights_dir: Path, tmp_path: Path) -> None:
    job = make_job(make_trial(scenes, weights_dir, tmp_path))
    other = tmp_path / "other.pth"
    content = torch.load(job.weights, weights_only=True)
    torch.save({"state_dict": {name: 2 * value for name, value in content["state_dict"].items()}}, other)
    models = []
    for weights in (job.weights, other):
        model = build_runner(replace(job, weights=weights), lambda *step: None).model
        model.init_weights()
        models.append(model.state_dict())
    for name, value in models[0].items():
        same = torch.equal(value, models[1][name])
        assert same if not name.startswith("backbone.") else same == (not value.any())


def test_all_digits_become_one_class_and_borders_stay_ignored() -> None:
    mask = np.array([[0, 3, 10, 255]], dtype=np.uint8)
    merged = MergeForeground()({"gt_seg_map": mask})["gt_seg_map"]
    assert merged.tolist() == [[0, 1, 1, 255]]
    assert merged.dtype == np.uint8


def test_backbone_that_is_not_the_file_is_refused(tmp_path: Path) -> None:
    backbone = torch.nn.BatchNorm1d(2)
    file = {"weight": torch.ones(2), "bias": torch.zeros(2), "running_mean": torch.zeros(2)}
    file["running_var"] = torch.ones(2)
    VerifyBackbone(saved(file, tmp_path)).verify(backbone)
    for wrong, problem in (
        ({**file, "stem.0.weight": torch.ones(1)}, "no place for 1 keys, first 'stem.0.weight'"),
        ({name: value for name, value in file.items() if name != "bias"}, "lack 1 keys of its backbone, first 'bias'"),
        ({**file, "weight": torch.zeros(2)}, "'weight' was not loaded"),
    ):
        with pytest.raises(UserError, match=f"the model's backbone is not .*{problem}"):
            VerifyBackbone(saved(wrong, tmp_path)).verify(backbone)


def saved(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state}, folder / "weights.pth")
    return folder / "weights.pth"


def test_runner_refuses_weights_that_mmengine_would_load_in_part(
    scenes: Path, weights_dir: Path, tmp_path: Path
) -> None:
    job = make_job(make_trial(scenes, weights_dir, tmp_path))
    content = torch.load(job.weights, weights_only=True)
    del content["state_dict"]["layer4.1.conv2.weight"]
    partial = tmp_path / "partial.pth"
    torch.save(content, partial)
    with pytest.raises(UserError, match=r"layer4\.1\.conv2\.weight"):
        build_runner(replace(job, weights=partial), lambda *step: None).train()


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.backbone.depth=34", "the weights are a resnet18"),
        ("model.backbone.style=caffe", "style"),
        ("model.data_preprocessor.bgr_to_rgb=false", "bgr_to_rgb"),
        ("model.data_preprocessor.mean=0.0,0.0,0.0", "mean"),
    ],
)
def test_config_that_the_proof_does_not_cover_is_refused(
    override: str, problem: str, scenes: Path, weights_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=problem):
        task.run(make_trial(scenes, weights_dir, tmp_path, override))


def test_absent_class_is_left_out_of_the_mean_and_all_absent_stays_nan() -> None:
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric()
    metric.dataset_meta = {"classes": ("background", "one", "two")}
    prediction, mask = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 0, 1, 255]])
    assert named(metric.compute_metrics([metric.intersect_and_union(prediction, mask, 3, 255)]))["miou"] == 100.0
    ignored = torch.full((1, 4), 255)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        empty = named(metric.compute_metrics([metric.intersect_and_union(prediction, ignored, 3, 255)]))
    assert math.isnan(empty["miou"])


def test_batch_that_cannot_be_divided_is_refused(scenes: Path, weights_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch_size is .*3 GPUs cannot share evenly: give --gpus-per-trial 2"):
        task.run_in_processes(make_trial(scenes, weights_dir, tmp_path), 3)


def test_two_processes_train_one_model_and_score_every_image(scenes: Path, weights_dir: Path, tmp_path: Path) -> None:
    outcome = task.run_in_processes(make_trial(scenes, weights_dir, tmp_path, CHECKPOINTS), 2)
    assert outcome.references == {"all background": floor_by_hand(scenes)}
    assert all(math.isfinite(metric.value) for metric in outcome.metrics.values())
    assert any("SyncBN" in line for line in outcome.protocol_difference)
    assert (tmp_path / "iter_4.pth").is_file()
