"""Both stages and the momentum encoder: stopped anywhere and started again, the weights are those of a whole run."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import twist_configs.pretrain
from pretrain.distributed import Process
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.recipe import Recipe
from pretrain.run.preemption import Preempted
from pretrain.run.step import TrainStep
from pretrain.run.trainer import TrainingError, train
from twist_common import overrides
from twist_common.errors import UserError

BATCH, STEPS_PER_EPOCH = 4, 3
TINY = (
    f"data.batch_size={BATCH}", "epochs=2", "model.hidden=8", "model.num_classes=4", "model.bunch_size=2",
    "crops.global_size=32", "crops.local_size=16", "crops.num_local=1", "run.log_steps=1", "run.num_workers=0",
    "schedule.warmup_epochs=1",
)  # fmt: skip
TWO_STAGES = ("model.backbone=resnet18", "self_labeling.epochs=2", "self_labeling.warmup_epochs=1")
MOMENTUM = ("model.backbone=resnet18", "self_labeling.epochs=0", "epochs=3", "momentum_encoder.enabled=true")
ACCUMULATED = (*TWO_STAGES, "data.accumulation=2")
SPEED = {"images_per_second", "data_wait_share"}


class Killed(BaseException):
    """Ends a run as SIGKILL would: nothing catches it, nothing more is written."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for index in range(BATCH * STEPS_PER_EPOCH + 1):
        folder = root / "train" / str(index % 3)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (40, 48, 3), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.byte().numpy()).save(folder / f"{index:02}.jpg")
    return root


def recipe(*changes: str, name: str = "rn50") -> Recipe:
    return overrides.apply(twist_configs.pretrain.get(name), [*TINY, *changes])


@pytest.fixture(scope="module")
def run(images: Path) -> Callable[..., None]:
    def run(out: Path, *changes: str, name: str = "rn50") -> None:
        torch.set_num_threads(1)
        train(recipe(*changes, name=name), data=images, out=out, process=Process(torch.device("cpu")))

    return run


@pytest.fixture(scope="module")
def whole(run: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a run of these settings that nothing disturbed."""
    done: dict[tuple[str, ...], Path] = {}

    def whole(*changes: str) -> Path:
        if changes not in done:
            done[changes] = tmp_path_factory.mktemp("whole")
            run(done[changes], *changes)
        return done[changes]

    return whole


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[], None]) -> None:
    """Calls ``do`` when so many steps are done, once."""
    original, calls = TrainStep.__call__, []

    def train_step(self: TrainStep, parts: Any, steps_done: int) -> Any:
        if steps_done == step and not calls:
            calls.append(step)
            do()
        return original(self, parts, steps_done)

    monkeypatch.setattr(TrainStep, "__call__", train_step)


def load(path: Path) -> dict[str, Any]:
    content = torch.load(path, weights_only=True)
    assert isinstance(content, dict)
    return content


def assert_same(expected: Any, got: Any, where: str = "") -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(expected, got), where
    elif isinstance(expected, dict):
        assert expected.keys() == got.keys(), where
        for key, value in expected.items():
            assert_same(value, got[key], f"{where}/{key}")
    else:
        assert expected == got, where


def metrics(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in SPEED} for line in lines]


PLACES = [
    pytest.param(TWO_STAGES, 4, id="in the first stage"),
    pytest.param(TWO_STAGES, 6, id="on the switch"),
    pytest.param(TWO_STAGES, 10, id="in self-labeling"),
    pytest.param(MOMENTUM, 4, id="with a momentum encoder"),
    pytest.param(ACCUMULATED, 4, id="accumulated"),
]


@pytest.mark.parametrize(("changes", "step"), PLACES)
def test_killed_run_started_again_ends_as_a_whole_one(
    changes: tuple[str, ...], step: int, whole: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill() -> None:
        raise Killed

    before_step(monkeypatch, step, kill)
    with pytest.raises(Killed):
        run(tmp_path, *changes)
    run(tmp_path, *changes)
    assert_same(load(whole(*changes) / "checkpoint.pth"), load(tmp_path / "checkpoint.pth"))
    assert metrics(whole(*changes)) == metrics(tmp_path)
    assert (whole(*changes) / "backbone.pth").read_bytes() == (tmp_path / "backbone.pth").read_bytes()


@pytest.mark.parametrize(("changes", "step"), PLACES)
def test_run_that_is_asked_to_stop_writes_a_checkpoint_in_mid_epoch_and_ends_as_a_whole_one(
    changes: tuple[str, ...], step: int, whole: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_step(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted, match=f"stopped at step {step + 1} "):
        run(tmp_path, *changes)
    assert load(tmp_path / "checkpoint.pth")["step"] == step + 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    run(tmp_path, *changes)
    assert_same(load(whole(*changes) / "checkpoint.pth"), load(tmp_path / "checkpoint.pth"))
    assert metrics(whole(*changes)) == metrics(tmp_path)


def test_self_labeling_has_its_own_loss_rate_and_crops(whole: Any) -> None:
    lines = [line for line in metrics(whole(*TWO_STAGES)) if line["kind"] == "step"]
    first, second = lines[: 2 * STEPS_PER_EPOCH], lines[2 * STEPS_PER_EPOCH :]
    assert len(second) == 2 * STEPS_PER_EPOCH
    assert all("sharpness" in line and "self_labeling_loss" not in line for line in first)
    assert all("self_labeling_loss" in line and "sharpness" not in line for line in second)
    assert second[0]["lr"] == 0.0  # its own warm-up
    assert max(line["lr"] for line in second) == pytest.approx(0.05 * BATCH / 256)


def test_momentum_encoder_is_exported_beside_the_student_and_differs_from_it(whole: Any) -> None:
    exported = load(whole(*MOMENTUM) / "backbone.pth")
    student, teacher = exported["backbone"], exported["teacher_backbone"]
    assert student.keys() == teacher.keys()
    assert not torch.equal(student["conv1.weight"], teacher["conv1.weight"])
    build_backbone("resnet18").load_state_dict(teacher, strict=True)


def test_every_nth_checkpoint_is_kept_beside_the_last(run: Any, tmp_path: Path) -> None:
    run(tmp_path, *TWO_STAGES, "run.keep_epochs=2")
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-0002.pth",
        "checkpoint-0004.pth",
    ]
    assert load(tmp_path / "checkpoint-0002.pth")["epoch"] == 2


def test_collapse_stops_the_run_if_the_recipe_says_so(run: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^collapse: .*; stopped at step \d+: the last good checkpoint is"):
        run(tmp_path, *TWO_STAGES, "epochs=30", "loss.alpha=0", "optim.lr=30", "run.on_collapse=stop")


def test_bunch_that_does_not_divide_the_batch_is_refused_before_anything_is_written(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.bunch_size=3 does not divide the 4 images"):
        run(tmp_path / "out", *TWO_STAGES, "model.bunch_size=3")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", sorted(set(twist_configs.pretrain.RECIPES) - {"demo"}))
def test_every_recipe_takes_steps_is_stopped_resumed_and_exported(
    name: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["epochs=1"]
    if twist_configs.pretrain.get(name).self_labeling.epochs:
        changes += ["self_labeling.epochs=1", "self_labeling.warmup_epochs=1"]
    before_step(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        run(tmp_path, *changes, name=name)
    run(tmp_path, *changes, name=name)
    made = recipe(*changes, name=name)
    exported = load(tmp_path / "backbone.pth")
    build_backbone(exported["arch"]).load_state_dict(exported["backbone"], strict=True)
    ProjectionHead(**exported["head_config"]).load_state_dict(exported["head"], strict=True)
    assert ("teacher_backbone" in exported) == made.momentum_encoder.enabled
    steps = [line["step"] for line in metrics(tmp_path) if line["kind"] == "step"]
    assert steps == list(range(1, made.total_epochs * STEPS_PER_EPOCH + 1))
