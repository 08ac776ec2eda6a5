"""Signals through the real torchrun to two processes on CPU: a checkpoint, the documented exit code, and no orphan.

With ALL_SIGNALS=1 in the environment each of the signals is sent, else one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.noise_images import write_noise
from twist_common.process import STOP_SIGNALS, process_start

# As tools/pretrain.sh starts it where there are two GPUs.
PROGRAM = """
import sys
from pretrain import launch
sys.exit(launch.torchrun([*launch.STANDALONE, "--nproc-per-node=2"], sys.argv[1:]))
"""
SMALL = (
    "epochs=1000", "data.batch_size=4", "model.hidden=8", "model.num_classes=4", "run.log_steps=1",
    "crops.num_local=0", "crops.global_size=28", "run.checkpoint_epochs=1000", "run.num_workers=1",
)  # fmt: skip
START_SECONDS, END_SECONDS = 300.0, 30.0


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("images"), num_images=8, num_classes=2)


class TwoProcesses:
    """A run under torchrun, from its first steps on."""

    def __init__(self, images: Path, out: Path) -> None:
        line = [sys.executable, "-c", PROGRAM, "demo", "--device", "cpu", "--data", str(images), "--out", str(out)]
        self.launcher = subprocess.Popen(
            [*line, *SMALL],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        metrics, deadline = out / "metrics.jsonl", time.monotonic() + START_SECONDS
        while not (metrics.is_file() and metrics.read_text().count("\n") >= 2):
            assert self.launcher.poll() is None and time.monotonic() < deadline, self.launcher.communicate()
            time.sleep(0.1)
        self.pids = self._children(self.launcher.pid)
        assert len(self.pids) == 2
        self.loaders = [child for pid in self.pids for child in self._children(pid)]

    def end(self) -> tuple[int, str]:
        """Exit code and output, once no process is left."""
        output, _ = self.launcher.communicate(timeout=START_SECONDS)
        deadline = time.monotonic() + 10
        while orphans := [pid for pid in (*self.pids, *self.loaders) if process_start(pid)]:
            assert time.monotonic() < deadline, orphans
            time.sleep(0.1)
        return self.launcher.returncode, output

    @staticmethod
    def _children(pid: int) -> list[int]:
        shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
        return [int(each) for each in shown.stdout.split()]


@pytest.mark.parametrize("number", STOP_SIGNALS if os.environ.get("ALL_SIGNALS") else STOP_SIGNALS[1:2])
def test_a_request_to_stop_reaches_the_processes_and_ends_in_a_checkpoint(
    number: signal.Signals, images: Path, tmp_path: Path
) -> None:
    run = TwoProcesses(images, tmp_path)
    run.launcher.send_signal(number)
    code, output = run.end()
    assert code == 143, output
    assert output.count("as asked") == 1 and "Traceback" not in output
    assert torch.load(tmp_path / "checkpoint.pth", weights_only=True)["step"] >= 2


def test_the_death_of_a_process_ends_the_run_in_seconds_with_a_sentence(images: Path, tmp_path: Path) -> None:
    run = TwoProcesses(images, tmp_path)
    before = time.monotonic()
    os.kill(run.pids[1], signal.SIGKILL)
    code, output = run.end()
    assert code == 1 and time.monotonic() - before < END_SECONDS
    assert "error: process 1 of 2 has died or does not answer; no checkpoint is left" in output
    assert f"error: process 1 (pid {run.pids[1]}) was ended by SIGKILL, and the others with it" in output
    assert "Traceback" not in output
