"""Jobs through submitit: how they are submitted, and what both stages do on the node when Slurm wants them to stop."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import slurm
from common.errors import UserError
from common.files import make_dir

if TYPE_CHECKING:
    import submitit

ROOT = Path(__file__).resolve().parents[1]
# Slurm sends SIGUSR2 before the time limit (submitit asks for it), and SIGTERM when it preempts or cancels. SIGUSR1 is
# what many sites and people send by hand.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# sbatch's options that are submitit's, have an option of their own here, or would break what is promised.
OWNED = (
    "account", "array", "constraint", "cpus-per-task", "error", "gpus-per-node", "job-name", "mem", "nodes", "ntasks",
    "ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue", "no-requeue", "signal", "time",
)  # fmt: skip


def submit(
    tasks: Sequence[Callable[[], object]],
    folder: Path,
    args: slurm.SlurmArgs,
    *,
    max_timeouts: int,
    signal_seconds: int,
    cpus: int,
    gpus_per_node: int = 0,
    srun_args: Sequence[str] = (),
    **parameters: object,
) -> list[submitit.Job[Any]]:
    """Submits the tasks, several as one array, in jobs that Slurm may requeue.

    Args:
        tasks: with a ``checkpoint`` method, by which submitit has them called again.
        folder: for submitit's files; on a file system that the nodes share.
        max_timeouts: how many times a job may run into its time limit and go on.
        signal_seconds: how long before the time limit the job is told.
        cpus: of each task.
        srun_args: options of the srun that starts the tasks.
        parameters: more, in submitit's names.

    Raises:
        UserError: Slurm refuses.
    """
    import submitit

    of_all_jobs = sbatch_parameters(args, cpus=cpus, gpus_per_node=gpus_per_node)
    make_dir(folder)
    executor = submitit.SlurmExecutor(folder, max_num_timeout=max_timeouts)
    executor.update_parameters(
        **of_all_jobs,
        signal_delay_s=signal_seconds,
        # since Slurm 22.05 srun does not take the first from the job
        srun_args=[f"--cpus-per-task={cpus}", *srun_args],
        **parameters,
    )
    try:
        with executor.batch():
            return [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        _clear_away_unsubmitted(folder)
        raise UserError(f"Slurm refuses: {_what_sbatch_said(str(error))}") from None


def sbatch_parameters(args: slurm.SlurmArgs, *, cpus: int, gpus_per_node: int) -> dict[str, object]:
    """The options that all jobs have, in submitit's names."""
    chosen = {
        "partition": args.partition,
        "mem": args.mem,
        "account": args.account,
        "qos": args.qos,
        "constraint": args.constraint,
        "gpus_per_node": gpus_per_node or None,
    }
    return {
        **{name: value for name, value in chosen.items() if value is not None},
        "time": args.minutes,
        "cpus_per_task": cpus,
        "setup": [*args.setup, *node_setup()],
        "additional_parameters": {"requeue": True, **slurm.other_options(args.slurm, OWNED)},
    }


def node_setup() -> list[str]:
    """Shell lines by which the node finds this code, and its shell survives a signal that is sent to the whole job."""
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    return [
        f"export PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}",
        "trap : TERM USR1 USR2  # they are for the task; this shell waits for it",
    ]


def submitits_handler() -> Callable[[int, None], object]:
    """What submitit does at SIGUSR2: it has the job requeued and ends this process. To be asked for on the node."""
    handler = signal.getsignal(signal.SIGUSR2)
    assert callable(handler), "submitit sets its handler before it calls a task"
    return handler


def is_to_be_requeued() -> bool:
    """Not when Slurm is ending this job already: to requeue it, which it does by itself, or because it is cancelled."""
    job_id = slurm.own_job_id()
    try:
        status = slurm.job_statuses([job_id]).get(job_id)
    except slurm.SlurmSilentError:
        return False
    return status is not None and status.state == slurm.RUNNING


@contextlib.contextmanager
def signals_unwind() -> Iterator[None]:
    """The first signal unwinds the block with SystemExit; further ones, which Slurm sends, do not disturb that."""

    def stop(number: int, frame: object) -> None:
        ignore_signals()
        sys.exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except SystemExit:  # what runs in the block may have handlers of its own
        ignore_signals()
        raise


def ignore_signals() -> None:
    """From here on Slurm's signals do nothing."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _clear_away_unsubmitted(folder: Path) -> None:
    """What submitit has written for jobs that Slurm then refused: files that are not named for a job yet."""
    for pattern in ("[0-9a-f]" * 32 + ".pkl", ".submission_file_*.sh"):
        for path in folder.glob(pattern):
            if not path.is_symlink():
                path.unlink()
    remove_empty(folder)


def remove_empty(folder: Path) -> None:
    """Removes the folder if nothing is in it."""
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _what_sbatch_said(text: str) -> str:
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(line for line in lines if line) or "sbatch gave no reason"
