"""A segmentation trial whose batch comes in parts, because the GPU has no room for all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import transfer.tasks.segmentation.preload  # noqa: F401 - prepares MMSegmentation for current libraries
from tests.segmentation_trials import make_trial
from transfer import benchmarks
from transfer.tasks import network_cost
from transfer.tasks.network_cost import image_bytes, parts_of_batch
from transfer.tasks.segmentation import task
from transfer.tasks.segmentation.accumulation import divided, memory_of
from transfer.tasks.segmentation.any_arch import fit
from transfer.tasks.segmentation.config import load_protocol
from transfer.trial import Outcome
from transfer.weights.backbone.types import IMAGENET
from transfer.weights.convert.mmseg_any import settings
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("mmengine_on_one_thread")

GIB = 2**30
FROZEN = "demo-seg-frozen"
BATCH_OF_FOUR = "train_dataloader.batch_size=4"
EACH_ITERATION = "default_hooks.checkpoint={'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}"
# A linear head on a frozen backbone, where rounding stays rounding: in a whole network at the protocol's rate it grows
# a hundredfold in a step. Nothing that sees several images at once, and no clipping, which would hide a wrong scale.
LINEAR = ("model.decode_head.norm_cfg.type=IN", "optim_wrapper.clip_grad.max_norm=1e9")


class KilledError(Exception):
    """Stands for a kill in the middle of a trial."""


@pytest.fixture
def run_in_parts(
    scenes: Path, weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    def run(
        parts: int,
        work: str,
        *overrides: str,
        benchmark: str = "demo-seg",
        progress: Callable[..., None] | None = None,
        num_processes: int = 1,
    ) -> Outcome:
        monkeypatch.setattr(network_cost, "parts_of_batch", lambda memory, *, device, num_processes: parts)
        overrides = (BATCH_OF_FOUR, EACH_ITERATION, *overrides)
        trial = make_trial(scenes, weights_dir, tmp_path / work, *overrides, benchmark=benchmark)
        trial = trial if progress is None else replace(trial, progress=progress)
        return task.run_in_processes(trial, num_processes)

    return run


def weights(work_dir: Path, iteration: int) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / f"iter_{iteration}.pth", weights_only=True)["state_dict"]


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Root of the summed squares over all weights that training moves."""
    moved = [name for name in one if one[name].is_floating_point() and "running_" not in name]
    return sum(float((one[name] - other[name]).double().square().sum()) for name in moved) ** 0.5


def test_steps_in_parts_are_those_of_whole_batches(run_in_parts: Callable[..., Outcome], tmp_path: Path) -> None:
    whole = run_in_parts(1, "whole", *LINEAR, benchmark=FROZEN)
    first, last = (weights(tmp_path / "whole", iteration) for iteration in (1, 4))
    assert whole.batch == ""
    for parts in (2, 4):
        in_parts = run_in_parts(parts, f"{parts} parts", *LINEAR, benchmark=FROZEN)
        assert distance(last, weights(tmp_path / f"{parts} parts", 4)) < 1e-5 * distance(first, last)
        assert in_parts.batch == f"same batch, accumulated ×{parts}" and in_parts.norm_batch is None
        assert (in_parts.resolved_config, in_parts.standing) == (whole.resolved_config, whole.standing)
        assert in_parts.protocol_difference == whole.protocol_difference


def test_two_processes_in_parts_take_the_steps_of_one_with_whole_batches(
    run_in_parts: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Processes exchange gradients with the last part alone, and all parts must be in what they exchange."""
    run_in_parts(1, "whole", *LINEAR, benchmark=FROZEN)
    run_in_parts(2, "parts", *LINEAR, benchmark=FROZEN, num_processes=2)
    first, last = (weights(tmp_path / "whole", iteration) for iteration in (1, 4))
    assert distance(last, weights(tmp_path / "parts", 4)) < 1e-5 * distance(first, last)


def test_a_trial_in_parts_that_is_killed_goes_on_to_the_very_same_weights(
    run_in_parts: Callable[..., Outcome], tmp_path: Path
) -> None:
    """After one iteration: an odd number, which MMEngine would take for a step that lacks its second part."""
    short = "train_cfg.max_iters=2"
    whole = run_in_parts(2, "whole", short)

    def kill(done: int, total: int, what: str) -> None:
        if (done, what) == (2, "training"):
            raise KilledError

    with pytest.raises(KilledError):
        run_in_parts(2, "killed", short, progress=kill)
    steps: list[tuple[int, int, str]] = []
    resumed = run_in_parts(2, "killed", short, progress=lambda *step: steps.append(step))
    assert steps[0] == (2, 2, "training")
    assert resumed.metrics == whole.metrics
    left, right = weights(tmp_path / "killed", 2), weights(tmp_path / "whole", 2)
    assert all(torch.equal(left[name], right[name]) for name in right)


def test_a_batch_is_divided_in_order_and_without_rest() -> None:
    batch = {"inputs": [1, 2, 3, 4, 5, 6], "data_samples": list("abcdef")}
    assert divided(batch, 3) == [
        {"inputs": [1, 2], "data_samples": ["a", "b"]},
        {"inputs": [3, 4], "data_samples": ["c", "d"]},
        {"inputs": [5, 6], "data_samples": ["e", "f"]},
    ]


def test_parts_follow_from_the_number_of_gpus_and_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = memory_of(load_protocol(benchmarks.get("seg-voc").config_path))

    def parts(num_gpus: int, images_that_fit: float) -> int:
        of_gpu = SimpleNamespace(total_memory=images_that_fit * image_bytes(memory) / 0.9)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: of_gpu)
        return parts_of_batch(memory, device="cuda", num_processes=num_gpus)

    assert [parts(8, 2.5), parts(4, 4.5), parts(1, 16.5)] == [1, 1, 1]
    assert [parts(1, 8.5), parts(1, 7.5), parts(2, 3.5), parts(1, 1.5)] == [2, 4, 4, 16]
    with pytest.raises(UserError, match="GiB per image"):
        parts(8, 0.5)
    assert parts_of_batch(memory, device="cpu", num_processes=1) == 1


def test_larger_crops_and_trained_backbones_take_more_memory() -> None:
    needed = {
        name: image_bytes(memory_of(load_protocol(benchmarks.get(name).config_path)))
        for name in ("seg-voc", "seg-cityscapes", "seg-voc-frozen")
    }
    assert needed["seg-voc-frozen"] < needed["seg-voc"] < needed["seg-cityscapes"]
    networks = {}
    for arch in ("resnet50", "vit_base", "vit_large_patch16_224", "swin_tiny_patch4_window7_224"):
        config = load_protocol(benchmarks.get("seg-voc-any").config_path)
        fit(config, arch, settings(arch, IMAGENET))
        networks[arch] = image_bytes(memory_of(config))
    assert 0.8 < networks["resnet50"] / needed["seg-voc"] < 1.2
    assert networks["resnet50"] < networks["vit_base"] < networks["vit_large_patch16_224"]
    assert all(number < 24 * GIB for number in (needed | networks).values()), "one image fits into a common GPU"
