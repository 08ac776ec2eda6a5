"""Trials that need several devices beside trials that need one, and what a trial sees of the GPUs."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from tests.conftest import run_program
from tests.trial_runs import plans
from transfer import benchmarks
from transfer.trials.devices import DevicePool
from transfer.trials.display import TrialsDisplay
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.process import call, fork_server
from transfer.trials.run_many import LocalRunner
from transfer.trials.summary import End, RunSummary
from twist_common.gpus import visible_gpus


class Watch(TrialsDisplay):
    """Remembers which trials ran beside each other."""

    def __init__(self, plans: list[TrialPlan]) -> None:
        super().__init__(plans, RunSummary(), num_devices=4)
        self.running: set[int] = set()
        self.seen: list[set[int]] = []

    def started(self, plan: TrialPlan, device: str) -> None:
        super().started(plan, device)
        self.running = {*self.running, plan.seed}
        self.seen.append(self.running)

    def ended(self, plan: TrialPlan, end: End, result: str) -> None:
        super().ended(plan, end, result)
        self.running = self.running - {plan.seed}


def test_small_trials_take_what_big_ones_leave_and_do_not_keep_them_waiting(tmp_path: Path) -> None:
    trials = plans(tmp_path, "steps=5", num_trials=8)
    needs = dict(zip(range(8), (1, 1, 3, 1, 1, 3, 1, 1), strict=True))
    watch = Watch(trials)
    LocalRunner(trials, list(needs.values()), DevicePool("abcd"), watch).run()
    assert watch.summary.done == 8
    assert all(sum(needs[seed] for seed in running) <= 4 for running in watch.seen)
    assert watch.seen[0] == {2} and watch.seen[1] == {2, 0}  # a big one first, a small one beside it
    started = [min(place for place, running in enumerate(watch.seen) if seed in running) for seed in range(8)]
    assert max(started[2], started[5]) < max(started[3], started[4], started[6], started[7])


def _visible() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_forked_process_sees_the_gpus_that_it_was_given(tmp_path: Path) -> None:
    context = fork_server(plans(tmp_path))
    before = _visible()
    assert call(context, _visible, gpus=("2", "GPU-ab")) == "2,GPU-ab"
    assert call(context, _visible) == before == _visible()


def _collection() -> tuple[bool, int]:
    return gc.isenabled(), gc.get_freeze_count()


FROZEN = """
from pathlib import Path
from tests.integration.test_trial_devices import _collection
from tests.trial_runs import plans
from transfer.trials.process import call, fork_server

if __name__ == "__main__":
    print(*call(fork_server(plans(Path.cwd())), _collection))
"""


def test_a_forked_process_collects_its_own_garbage_alone(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FROZEN)  # a fork server of its own, as a command has it
    done = run_program(tmp_path / "program.py")
    enabled, frozen = done.stdout.split()
    assert enabled == "True" and int(frozen) > 1000, done.stderr


def _first_gpu() -> tuple[int, float]:
    import torch

    return torch.cuda.device_count(), torch.ones(3, device="cuda").sum().item()


def use_last_gpu(folder: Path) -> tuple[int, float]:
    """What a process sees that is given the last GPU, forked from a server with all frameworks."""
    trials = plan_trials(
        runs=folder,
        suite="test",
        benchmarks=[benchmarks.get(name) for name in ("voc", "seg-voc", "demo-linear", "demo-cluster")],
        weights=[weights_ref("random:resnet50")],
        seeds=[0],
        data=folder,
        device="cuda",
    )
    return call(fork_server(trials), _first_gpu, gpus=visible_gpus()[-1:])


PROGRAM = """
from pathlib import Path
from tests.integration.test_trial_devices import use_last_gpu

if __name__ == "__main__":
    print(use_last_gpu(Path.cwd()))
"""


@pytest.mark.skipif(not visible_gpus(), reason="needs a GPU")
def test_a_process_forked_with_all_frameworks_can_use_its_gpu_and_has_no_other(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)  # a fork server of its own, as a command has it
    done = run_program(tmp_path / "program.py")
    assert done.stdout.strip() == "(1, 3.0)", done.stderr
