"""Jobs through submitit: how they are submitted, and what both stages do on the node when Slurm asks them to stop."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twist_common import slurm, start
from twist_common.errors import UserError
from twist_common.files import make_dir
from twist_common.process import STOP_SIGNALS

if TYPE_CHECKING:
    import submitit

ROOT = Path(__file__).resolve().parents[1]
# Options of sbatch that submitit sets, that have an option of their own here, or that would break a promise.
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
        tasks: with a ``checkpoint`` method, through which submitit has them called again.
        folder: for submitit's files; on a file system that the nodes share.
        max_timeouts: how many times a job may run into its time limit and resume.
        signal_seconds: how long before the time limit the job is signalled.
        cpus: of each task.
        srun_args: options of the srun that starts the tasks.
        parameters: further ones, under submitit's names.

    Raises:
        UserError: Slurm refuses.
    """
    import submitit

    of_all_jobs = sbatch_parameters(args, cpus=cpus, gpus_per_node=gpus_per_node)
    make_dir(folder)
    python = f"{shlex.quote(sys.executable)} -u {shlex.quote(start.__file__)}"
    executor = submitit.SlurmExecutor(folder, max_num_timeout=max_timeouts, python=python)
    executor.update_parameters(
        **of_all_jobs,
        signal_delay_s=signal_seconds,
        # since Slurm 22.05 srun does not take the first one from the job
        srun_args=[f"--cpus-per-task={cpus}", *srun_args],
        **parameters,
    )
    try:
        with executor.batch():
            return [executor.submit(task) for task in tasks]
    except submitit.core.utils.FailedJobError as error:
        # What submitit has written for jobs that Slurm then refused is not named for a job yet.
        for pattern in ("[0-9a-f]" * 32 + ".pkl", ".submission_file_*.sh"):
            for path in folder.glob(pattern):
                if not path.is_symlink():
                    path.unlink()
        remove_empty(folder)
        lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in str(error).splitlines()]
        said = "; ".join(line for line in lines if line) or "sbatch gave no reason"
        raise UserError(f"Slurm refuses: {said}") from None


def sbatch_parameters(args: slurm.SlurmArgs, *, cpus: int, gpus_per_node: int) -> dict[str, object]:
    """The options that all jobs have, under submitit's names.

    In the setup, ``args.setup`` comes first: it must not lose our PYTHONPATH.
    """
    # By the first line the node finds this code; by the second the shell survives a signal to the whole job.
    path = os.pathsep.join(dict.fromkeys([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    node_setup = [
        f"export PYTHONPATH={shlex.quote(path.rstrip(os.pathsep))}",
        "trap : TERM USR1 USR2  # they are for the task; this shell waits for it",
    ]
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
        "time": slurm.minutes(args.time),
        "cpus_per_task": cpus,
        "setup": [*args.setup, *node_setup],
        "additional_parameters": {"requeue": True, **slurm.other_options(args.slurm, OWNED)},
    }


def submitits_handler() -> Callable[[int, None], object]:
    """What submitit does on SIGUSR2: it has the job requeued and ends this process. To be called on the node."""
    handler = signal.getsignal(signal.SIGUSR2)
    assert callable(handler), "submitit sets its handler before it calls a task"
    return handler


def is_to_be_requeued() -> bool:
    """False when Slurm is ending this job already, to requeue it by itself or because it was cancelled."""
    job_id = slurm.own_job_id()
    try:
        status = slurm.job_statuses([job_id]).get(job_id)
    except slurm.SlurmSilentError:
        return False
    return status is not None and status.state == slurm.RUNNING


@contextlib.contextmanager
def signals_unwind() -> Iterator[None]:
    """Makes the first signal unwind the block with SystemExit; further ones, which Slurm sends, do not disturb that."""

    def handle_all(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, handler)

    def stop(number: int, frame: object) -> None:
        handle_all(signal.SIG_IGN)
        sys.exit(128 + number)

    handle_all(stop)
    try:
        yield
    except SystemExit:  # the block may have set handlers of its own
        handle_all(signal.SIG_IGN)
        raise


def remove_empty(folder: Path) -> None:
    """Removes the folder if nothing is in it."""
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()
