"""Curves at Weights & Biases and MLflow, without a network: what metrics.jsonl has, over a stop too."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import struct
from pathlib import Path

import pytest
import torch

import twist_configs.pretrain
from pretrain.checks import check
from pretrain.distributed import Process
from pretrain.recipe import Recipe, recipe_sha256
from pretrain.run.trainer import train
from pretrain.watch.monitor import Curves
from pretrain.watch.trackers import open_tracker
from tests.noise_images import write_noise
from twist_common import overrides
from twist_common.errors import UserError

TINY = (
    "model.backbone=resnet18", "data.batch_size=4", "epochs=2", "model.hidden=8", "model.num_classes=4",
    "model.bunch_size=2", "crops.global_size=32", "crops.num_local=0", "run.log_steps=1", "run.num_workers=0",
    "schedule.warmup_epochs=1", "self_labeling.epochs=0",
)  # fmt: skip


def recipe(track: str) -> Recipe:
    return overrides.apply(twist_configs.pretrain.get("rn50"), [*TINY, f"run.track={track}"])


def lines(out: Path) -> list[dict[str, float | str]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_run_is_at_mlflow_as_it_is_on_disk(tmp_path: Path) -> None:
    images = write_noise(tmp_path / "images", num_images=8, num_classes=2)
    out = tmp_path / "tracked"
    train(recipe("mlflow"), data=images, out=out, process=Process(torch.device("cpu")))
    [(run, curves)] = mlflow_runs(out)
    assert run["optim.name"] == "lars" and run["recipe_sha256"] == recipe_sha256(recipe("none")), (
        "tracking is no setting"
    )
    expected = {(f"{line['kind']}/loss", line["step"]): line["loss"] for line in lines(out) if "loss" in line}
    assert len(expected) == 4
    assert {point: value for point, value in curves.items() if point[0].endswith("/loss")} == expected


def mlflow_runs(out: Path) -> list[tuple[dict[str, str], dict[tuple[str, int], float]]]:
    """Parameters and points of each run."""
    from mlflow import MlflowClient

    client = MlflowClient((out / "mlruns").as_uri())
    [experiment] = [each for each in client.search_experiments() if each.name == "twist-transfer"]
    return [
        (
            run.data.params,
            {
                (name, p.step): p.value
                for name in run.data.metrics
                for p in client.get_metric_history(run.info.run_id, name)
            },
        )
        for run in client.search_runs([experiment.experiment_id])
    ]


def write(out: Path, track: str, first: int, last: int) -> None:
    curves = Curves(out, first, open_tracker(recipe(track), out))
    for step in range(first + 1, last + 1):
        curves.write("step", step, 0, {"loss": -step / 8})
    curves.close()


def test_a_resumed_run_goes_on_with_its_curve_at_mlflow(tmp_path: Path) -> None:
    write(tmp_path, "mlflow", 0, 2)
    write(tmp_path, "mlflow", 2, 4)
    [(_, curves)] = mlflow_runs(tmp_path)
    assert curves == {("step/loss", step): -step / 8 for step in range(1, 5)}


def test_a_resumed_run_goes_on_with_its_curve_at_wandb(tmp_path: Path) -> None:
    for first, last in ((0, 2), (2, 4)):
        process = multiprocessing.get_context("spawn").Process(target=write, args=(tmp_path, "wandb", first, last))
        process.start()
        process.join(120)
        assert process.exitcode == 0
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len({path.name for path in files}) == 1, "one run, in a file for each time that it was started"
    assert [point for path in files for point in wandb_points(path)] == [(step, -step / 8) for step in range(1, 5)]


def wandb_points(path: Path) -> list[tuple[int, float]]:
    """A file of W&B: seven bytes, then records with a checksum, their length and a kind, as LevelDB's log has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, points = path.read_bytes(), 7, []
    assert content[:4] == b":W&B" and len(content) < 1 << 15, "one block"
    while place < len(content):
        _, length, _ = struct.unpack_from("<IHB", content, place)
        record = Record.FromString(content[place + 7 : place + 7 + length])
        place += 7 + length
        if record.HasField("history"):
            row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            points.append((row["_step"], row["step/loss"]))
    return points


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check(recipe("wandb"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="wandb, which is not installed"):
        check(recipe("wandb"))
