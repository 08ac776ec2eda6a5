"""Files that are written line by line: a full disk is an error that names them."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pretrain.distributed import Process
from pretrain.run import agreement
from pretrain.watch.monitor import METRICS_NAME, Curves
from tests.conftest import run_program
from tests.trial_runs import plans
from tests.unit.test_edges import files_of_at_most
from transfer.ledger import LEDGER_NAME
from transfer.trials import run_ledger


def full_metrics(folder: Path) -> None:
    watched = Curves(folder, 0)
    with files_of_at_most(10):
        with contextlib.suppress(OSError):
            watched.write("step", 1, 0, {"loss": 1.0})
        watched.close()


def full_ledger(folder: Path) -> None:
    (plan,) = plans(folder, num_trials=1)
    plan.runs.mkdir(parents=True)
    with files_of_at_most(10):
        run_ledger._append([], plan, event="started")


def full_lock(folder: Path) -> None:
    with files_of_at_most(10):
        agreement.hold_same_folder(folder, Process(torch.device("cpu")))


@pytest.mark.parametrize(
    ("write", "name"),
    [(full_metrics, METRICS_NAME), (full_ledger, f"runs/{LEDGER_NAME}"), (full_lock, agreement.LOCK_NAME)],
)
def test_a_file_that_is_written_line_by_line_is_named(tmp_path: Path, write: Callable[[Path], None], name: str) -> None:
    with pytest.raises(OSError) as raised:
        write(tmp_path)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(tmp_path / name))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_a_log_that_is_full_is_named_and_the_output_is_the_users_again(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from transfer.trials.run_one import _output_to\n"
        "sys.stdout = open(1, 'w', closefd=False)\n"
        "try:\n"
        "    with _output_to(Path('/dev/full')):\n"
        "        print('to the log')\n"
        "except OSError as error:\n"
        "    print('full:', error.filename, flush=True)\n"
    )
    told = run_program(program)
    assert told.returncode == 0 and told.stdout.endswith("full: /dev/full\n"), told.stderr
