"""Pre-training on two nodes of a real Slurm: asked to stop, preempted, requeued, and still the same weights."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from tests.conftest import run_module
from tests.noise_images import write_noise
from tests.trial_runs import wait_until
from twist_common.slurm import job_statuses

pytestmark = pytest.mark.slurm
SMALL = (
    "epochs=10", "data.batch_size=8", "model.hidden=8", "model.num_classes=4", "run.log_steps=1",
    "crops.num_local=0", "crops.global_size=28", "run.num_workers=0",
)  # fmt: skip
# Nodes of a cluster find each other by name; these two are one machine.
TWO_NODES = ("--launcher", "slurm", "--nodes", "2", "--setup", "export MASTER_ADDR=127.0.0.1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("images"), num_images=24, num_classes=3)


def test_a_run_on_two_nodes_that_was_signalled_and_preempted_has_the_weights_of_an_undisturbed_one(
    images: Path, tmp_path: Path, slurm_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))

    def pretrain(out: Path, *options: str) -> str:
        line = ["demo", "--data", images, "--out", out, *SMALL, *TWO_NODES, *options]
        done = run_module("pretrain.train", *line, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def losses(out: Path) -> list[float]:
        if not (out / "metrics.jsonl").is_file():
            return []
        whole = [line for line in (out / "metrics.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line["loss"] for line in map(json.loads, whole) if line["kind"] == "step"]

    def checkpoint_step(out: Path) -> int:
        return int(torch.load(out / "checkpoint.pth", weights_only=True)["step"])

    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    assert "2 node(s), 1 process(es) on each" in pretrain(disturbed)
    job_id = json.loads((disturbed / "slurm" / "job.json").read_text())["job_id"]
    state = lambda: job_statuses([job_id])[job_id].state  # noqa: E731
    wait_until(lambda: len(losses(disturbed)) >= 4)
    subprocess.run(["scancel", "--signal=USR1", "--full", job_id], check=True)
    wait_until(lambda: state() == "PENDING")
    stopped_at = checkpoint_step(disturbed)
    assert 4 <= stopped_at < 30
    assert f"this run is already Slurm job {job_id}" in pretrain(disturbed)
    wait_until(lambda: len(losses(disturbed)) > stopped_at + 1)
    urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    subprocess.run(urgent, check=True, capture_output=True)
    wait_until(lambda: state() == "PENDING")
    assert stopped_at + 1 < checkpoint_step(disturbed) < 30
    pretrain(undisturbed, "--wait")
    pretrain(disturbed, "--wait")
    expected, found = (
        torch.load(out / "backbone.pth", weights_only=True)["backbone"] for out in (undisturbed, disturbed)
    )
    assert expected.keys() == found.keys() and all(torch.equal(value, found[key]) for key, value in expected.items())
    assert losses(disturbed) == losses(undisturbed) and len(losses(disturbed)) == 30
