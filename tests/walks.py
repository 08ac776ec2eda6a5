"""A benchmark's whole way on a fixture in the true layout: doctor, plan, trial and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer import benchmarks
from transfer.commands.report import write_report
from transfer.doctor.check import examine
from transfer.doctor.findings import WRONG_COUNT
from transfer.planner.devices import Machine
from transfer.planner.planning import Planner
from transfer.record import TrialRecord
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import run_trial


def walk(name: str, arch: str, data: Path, overrides: Sequence[str], runs: Path) -> tuple[TrialRecord, str]:
    """A trial's record and the report's text; the fixture lacks nothing but the published number of images."""
    benchmark = benchmarks.get(name)
    assert examine(benchmark.dataset, data).kinds() == {WRONG_COUNT}

    (plan,) = plan_trials(
        runs=runs,
        suite="transfer",
        benchmarks=[benchmark],
        weights=[weights_ref(f"random:{arch}")],
        seeds=[0],
        data=data,
        overrides=overrides,
    )
    machine = Machine(device="cpu", name="a CPU", num_devices=1)
    (row,) = Planner(past_trials=(), machine=machine).plan([plan]).rows
    assert (row.arch, row.num_to_run) == (arch, 1)

    run_trial(plan, lambda *step: None)
    record = TrialRecord.load(plan.record_path)
    assert (record.status, record.weights.arch) == ("done", arch), record.error

    _, page = write_report([runs])
    text = page.with_suffix(".md").read_text()
    assert benchmark.title in text and f"{record.metrics[benchmark.main_metric].value:.2f}" in text
    return record, text
