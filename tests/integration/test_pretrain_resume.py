"""Pre-training, for real but small: killed and started again, finished, misused, diverging."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import twist_configs.pretrain
from pretrain import train as command
from pretrain.distributed import Process
from pretrain.model import build_backbone
from pretrain.model.head import ProjectionHead
from pretrain.recipe import Recipe
from pretrain.run import checkpoint
from pretrain.run.step import TrainStep
from pretrain.run.trainer import TrainingError, train
from twist_common import overrides
from twist_common.errors import UserError
from twist_common.files import temporary_name

EPOCHS, STEPS_PER_EPOCH = 5, 3
SMALL = (
    f"epochs={EPOCHS}", "data.batch_size=8", "model.hidden=8", "model.num_classes=4", "run.log_steps=1",
    "crops.num_local=0", "crops.global_size=28",
)  # fmt: skip
REPOSITORY = Path(__file__).parents[2]
Train = Callable[..., None]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for index in range(8 * STEPS_PER_EPOCH + 1):
        folder = root / "train" / str(index % 3)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.byte().numpy()).convert("RGB").save(folder / f"{index:02}.png")
    return root


def recipe(*changes: str) -> Recipe:
    return overrides.apply(twist_configs.pretrain.get("demo"), [*SMALL, *changes])


@pytest.fixture(scope="module")
def run(images: Path) -> Train:
    """Trains here, on one thread."""

    def run(out: Path, *changes: str) -> None:
        torch.set_num_threads(1)
        train(recipe(*changes), data=images, out=out, process=Process(torch.device("cpu")))

    return run


@pytest.fixture(scope="module")
def whole(run: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


@pytest.fixture(scope="module")
def resumed(run: Train, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed and started again, with another number of loading processes."""
    out = tmp_path_factory.mktemp("killed")
    line = [sys.executable, "-m", "pretrain.train", "demo", "--device", "cpu"]
    line += ["--data", str(images), "--out", str(out), *SMALL, "run.num_workers=1"]
    # In a session of its own, so that its loading processes die with it.
    killed = subprocess.Popen(line, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)
    while not (out / "checkpoint.pth").exists():
        assert killed.poll() is None, "ended before its first checkpoint"
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert load(out / "checkpoint.pth")["epoch"] < EPOCHS
    half = temporary_name("checkpoint", ".pth").replace(f"-{os.getpid()}.", f"-{killed.pid}.")
    (out / half).write_bytes(b"half a checkpoint")
    with (out / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"kind": "step", "st')
    run(out)
    return out


def load(path: Path) -> dict[str, Any]:
    content = torch.load(path, weights_only=True)
    assert isinstance(content, dict)
    return content


def test_killed_run_started_again_has_the_weights_of_an_undisturbed_one(whole: Path, resumed: Path) -> None:
    expected, got = load(whole / "checkpoint.pth"), load(resumed / "checkpoint.pth")
    assert got["finished"] and got["step"] == EPOCHS * STEPS_PER_EPOCH
    assert expected["model"].keys() == got["model"].keys()
    for key, value in expected["model"].items():
        assert torch.equal(value, got["model"][key]), key
    for key, state in expected["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, got["optimizer"]["state"][key][name]), (key, name)
    assert expected["sentinel"] == got["sentinel"] and expected["sentinel"]["epochs"] == EPOCHS


def test_interrupted_run_in_fp16_keeps_its_loss_scale_and_says_its_precision(
    run: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, kept = ("precision=fp16", "epochs=2", "run.keep_epochs=1"), tmp_path / "resumed"
    run(tmp_path / "whole", *changes)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("device: cpu (") and "torch 2" in first
    assert first.endswith("; 1 process; precision: fp16 autocast with a scaled loss, NBS and loss in fp32")
    kept.mkdir()
    (kept / "checkpoint.pth").write_bytes((tmp_path / "whole" / "checkpoint-0001.pth").read_bytes())
    run(kept, *changes)
    whole, resumed = load(tmp_path / "whole" / "checkpoint.pth"), load(kept / "checkpoint.pth")
    assert whole["scaler"] == resumed["scaler"]
    assert whole["scaler"]["scale"] < 65536.0  # where it starts: some gradients were not finite
    assert all(torch.equal(value, resumed["model"][key]) for key, value in whole["model"].items())
    assert json.loads((kept / "finished.json").read_text())["precision"] == "fp16"


def test_killed_run_leaves_no_half_file_and_every_step_once_in_the_metrics(whole: Path, resumed: Path) -> None:
    assert not list(resumed.glob(".*.tmp.*"))
    expected, got = (
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, resumed)
    )
    for line in (*expected, *got):
        is_step = line["kind"] == "step"
        assert (
            (line.pop("images_per_second", None) is not None)
            == (line.pop("data_wait_share", None) is not None)
            == is_step
        )
    assert got == expected
    assert [line["step"] for line in got if line["kind"] == "step"] == list(range(1, 16))
    assert [line["epoch"] for line in got if line["kind"] == "epoch"] == list(range(EPOCHS))


def test_metrics_hold_loss_terms_statistics_and_agreement_of_training_predictions(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    step = next(line for line in lines if line["kind"] == "step")
    assert step["loss"] == pytest.approx(step["consistency"] + step["sharpness"] - step["diversity"], abs=1e-5)
    assert step["std_c_after_nbs"] == pytest.approx(1.0, abs=0.01)
    assert step["grad_after_nbs"] > 0 and step["grad_before_nbs"] > 0
    assert {"lr", "agreement", "std_r_before_nbs", "std_c_before_nbs", "std_r_after_nbs"} <= step.keys()
    epoch = next(line for line in lines if line["kind"] == "epoch")
    assert 1 <= epoch["used_classes"] <= 4 and 0 <= epoch["train_nmi"] <= 1
    assert list((whole / "tensorboard").glob("events.*"))


def test_exported_backbone_and_head_load_strictly(whole: Path) -> None:
    exported, checkpoint = load(whole / "backbone.pth"), load(whole / "checkpoint.pth")
    for content in (exported, checkpoint):
        assert (content["format"], content["version"], content["arch"]) == ("twist-transfer", 1, "resnet18")
    build_backbone("resnet18").load_state_dict(exported["backbone"], strict=True)
    ProjectionHead(**exported["head_config"]).load_state_dict(exported["head"], strict=True)
    for key, value in exported["backbone"].items():
        assert torch.equal(value, checkpoint["model"][f"backbone.{key}"])
    assert exported["recipe"]["name"] == "demo" and exported["preprocessing"]["size"] == 28


def test_finished_run_started_again_changes_nothing(
    whole: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    args = command.Args(recipe="demo", overrides=SMALL, data=images, out=whole, device="cpu")
    assert command.main(args) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_finished_run_that_lost_its_backbone_writes_it_again(whole: Path, run: Train) -> None:
    backbone = load(whole / "backbone.pth")["backbone"]
    (whole / "backbone.pth").unlink()
    run(whole)
    again = load(whole / "backbone.pth")["backbone"]
    assert all(torch.equal(value, again[key]) for key, value in backbone.items())


def test_training_goes_on_while_a_checkpoint_is_written_which_holds_what_was_there_before(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, save, take_step = threading.Event(), checkpoint.save, TrainStep.__call__

    def slow_save(path: Path, content: dict[str, Any]) -> None:
        if content.get("step") == STEPS_PER_EPOCH:
            assert later.wait(60.0), "training waited for the checkpoint"
        save(path, content)

    def observed_step(train_step: TrainStep, parts: Any, step: int) -> Any:
        if step > STEPS_PER_EPOCH:  # one that changed the weights is over
            later.set()
        return take_step(train_step, parts, step)

    monkeypatch.setattr(checkpoint, "save", slow_save)
    monkeypatch.setattr(TrainStep, "__call__", observed_step)
    changes, again = ("epochs=2", "run.keep_epochs=1"), tmp_path / "again"
    run(tmp_path / "whole", *changes)
    again.mkdir()
    (again / "checkpoint.pth").write_bytes((tmp_path / "whole" / "checkpoint-0001.pth").read_bytes())
    run(again, *changes)
    whole, resumed = load(tmp_path / "whole" / "checkpoint.pth"), load(again / "checkpoint.pth")
    assert all(torch.equal(value, resumed["model"][key]) for key, value in whole["model"].items())


def test_a_disk_that_is_full_ends_the_run_within_the_next_epoch(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: dict[str, Any]) -> None:
        saved.append(content["step"])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    saved: list[int] = []
    monkeypatch.setattr(checkpoint, "save", refuse)
    before = multiprocessing.active_children()  # of other tests
    with pytest.raises(OSError, match=r"No space left on device: .*checkpoint\.pth") as raised:
        run(tmp_path, "run.num_workers=1")
    assert saved == [STEPS_PER_EPOCH]
    # Its frames are kept: loading processes that lived as long as these, and ignore SIGTERM, would never be joined.
    assert raised.value.__traceback__ and multiprocessing.active_children() == before


def test_other_recipe_or_other_images_cannot_go_on_from_a_checkpoint(whole: Path, run: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optim\.lr 0\.002 -> 0\.1"):
        run(whole, "optim.lr=0.1")
    Image.new("RGB", (28, 28)).save(make(tmp_path / "train" / "0") / "other.png")
    for index in range(8):
        Image.new("RGB", (28, 28)).save(tmp_path / "train" / "0" / f"{index}.png")
    with pytest.raises(UserError, match="other images"):
        train(recipe(), data=tmp_path, out=whole, process=Process(torch.device("cpu")))


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damaged_or_foreign_checkpoint_is_refused(content: bytes | None, run: Train, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    if content is None:
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint.*(delete it|another --out)"):
        run(tmp_path)


def test_second_run_in_the_same_folder_is_refused(run: Train, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run is writing"):
            run(tmp_path)


def test_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint(
    run: Train, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diverging = ("optim.lr=1e30", "schedule.warmup_epochs=1")
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d+ \(epoch 1\): no checkpoint"):
        run(tmp_path, *diverging)
    args = command.Args(recipe="demo", overrides=(*SMALL, *diverging), data=images, out=tmp_path, device="cpu")
    assert command.main(args) == 1
    assert "the loss is nan" in capsys.readouterr().err
