"""The report's command as users start it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_module
from tests.report_records import done, save, trials
from transfer.benchmarks import BENCHMARKS
from transfer.commands.report import write_report
from transfer.record import Metric, TrialRecord
from transfer.report.read.trials import broken_seals
from transfer.trial import Outcome
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import make_record

FILES = {"report.html", "report.md", "report.csv", "report.tex", "report.json"}
MODULE = "transfer.commands.report"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return save([*trials([50.0, 52.0], weights="random-resnet18"), *trials([60.0, 61.0])], tmp_path / "runs")


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_command_prints_the_table_and_last_the_page(runs: Path, tmp_path: Path) -> None:
    ended = run_module(MODULE, runs, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert any("60.50 ± 0.71 (2)" in line and "+9.50" in line for line in lines)
    assert lines[-1] == str(runs / "report.html")
    assert {path.name for path in runs.iterdir() if path.is_file()} == FILES
    assert {path.name for path in (runs / "report-figures").iterdir()} == {"overview.png", "trials-demo.demo-seg.png"}


def test_running_again_in_another_process_changes_nothing(runs: Path, tmp_path: Path) -> None:
    write_report([runs])
    first = content(runs)
    ended = run_module(MODULE, runs, cwd=tmp_path, PYTHONHASHSEED="7")
    assert ended.returncode == 0, ended.stderr
    assert content(runs) == first


def test_a_report_imports_no_torch_and_no_framework(runs: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from transfer.commands.report import write_report; "
        "write_report([Path(sys.argv[1])], out=Path(sys.argv[2])); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'torchvision', 'timm', 'detectron2', 'mmseg', 'mmengine', 'mmcv', 'sklearn'}))"
    )
    command = [sys.executable, "-c", program, str(runs), str(tmp_path / "out")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == FILES
    assert not (runs / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no folder given"),
        (("absent",), "absent is not a folder"),
        (("runs", "--baseline", "twits"), "did you mean 'twist'"),
    ],
)
def test_bad_use_is_one_sentence_and_exit_code_2(
    runs: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = run_module(MODULE, *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert words in ended.stderr and "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (runs / "report.html").exists()


def test_duplicate_trials_in_two_folders_write_nothing(runs: Path, tmp_path: Path) -> None:
    save([done(1.0)], tmp_path / "more")
    ended = run_module(MODULE, runs, tmp_path / "more", cwd=tmp_path)
    assert ended.returncode == 2
    assert "same trial" in ended.stderr
    assert not (runs / "report.html").exists()


def test_verify_ends_with_1_and_names_the_cell_when_one_digit_of_a_record_is_another(
    runs: Path, tmp_path: Path
) -> None:
    assert run_module(MODULE, runs, cwd=tmp_path).returncode == 0
    held = run_module(MODULE, "--verify", runs / "report.json", cwd=tmp_path)
    assert (held.returncode, held.stderr) == (0, "")
    assert "values follow from the records" in held.stdout.splitlines()[-1]
    (record,) = runs.glob("demo/demo-seg/twist-*/trial-1/record.json")
    record.write_text(record.read_text().replace('"value": 61.0', '"value": 61.1'))
    ended = run_module(MODULE, "--verify", runs / "report.json", cwd=tmp_path)
    assert ended.returncode == 1
    assert "demo/demo-seg, twist, metrics miou values 1: the report says 61.0, the records give 61.1" in ended.stdout


def test_a_packed_report_verifies_where_it_is_unpacked(runs: Path, tmp_path: Path) -> None:
    packed = run_module(MODULE, "--pack", "all.tar.gz", runs, cwd=tmp_path)
    assert packed.returncode == 0, packed.stderr
    assert not (runs / "report.html").exists()
    with tarfile.open(tmp_path / "all.tar.gz") as archive:
        archive.extractall(tmp_path / "there", filter="data")
    ended = run_module(MODULE, "--verify", tmp_path / "there" / "report" / "report.json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr + ended.stdout


def test_archives_and_folders_become_one_report(runs: Path, tmp_path: Path) -> None:
    assert run_module(MODULE, "--pack", "a.tar.gz", runs, cwd=tmp_path).returncode == 0
    more = save([done(70.0, seed=5)], tmp_path / "more")
    ended = run_module(MODULE, "a.tar.gz", more, "--out", "both", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "63.67 ± 5.51 (3)" in ended.stdout
    verified = run_module(MODULE, "--verify", "both/report.json", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout


def test_a_thousand_records_become_a_report_without_torch(tmp_path: Path) -> None:
    records = [
        record
        for benchmark in list(BENCHMARKS)[:8]
        for weights in ("random-a", *(f"weights-{index}" for index in range(24)))
        for record in trials(
            [{BENCHMARKS[benchmark].main_metric: 50.0 + len(weights) + seed**2 % 3} for seed in range(5)],
            weights=weights,
            benchmark=benchmark,
        )
    ]
    assert len(records) == 1000
    runs = save([record.sealed() for record in records], tmp_path / "runs")
    program = (
        "import sys; from pathlib import Path; from transfer.commands.report import write_report; "
        "report, _ = write_report([Path(sys.argv[1])]); print(len(report.records), 'torch' in sys.modules); "
        # getrusage's peak is that of the process that started this one, too
        "import time; peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0];"
        "print(time.process_time(), int(peak) / 1024)"
    )
    command = [sys.executable, "-c", program, str(runs)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *found, cpu_seconds, peak_mib = ended.stdout.split()
    assert found == ["1000", "False"]
    assert float(cpu_seconds) < 20 and float(peak_mib) < 300  # also on a busy machine
    assert (runs / "report.html").stat().st_size < 8 << 20


def test_the_trial_runners_records_carry_hashes_that_verify_and_failed_ones_too(tmp_path: Path) -> None:
    (plan,) = plan_trials(
        runs=tmp_path,
        suite="demo",
        benchmarks=[BENCHMARKS["demo-linear"]],
        weights=[weights_ref("random:resnet18")],
        seeds=[0],
        data=tmp_path,
    )
    outcome = Outcome(
        metrics={"top1": Metric(value=71.5)}, resolved_config="{}", arch="resnet18", source_format="random"
    )
    finished = make_record(plan, outcome=outcome, error=None, wall_seconds=1.0)
    broken = make_record(plan, outcome=None, error="ValueError: no", wall_seconds=1.0)
    for record in (finished, broken):
        record.save(tmp_path / "record.json")
        read = TrialRecord.load(tmp_path / "record.json")
        assert read.seal == record.content_sha256() != ""
        assert broken_seals([read]) == []
