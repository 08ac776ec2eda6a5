"""What runs on the node: the local runner with one trial, and Slurm's signals turned into a requeue.

The runner starts the trial in a process of its own, keeps its log, and records it as failed if it dies; so a trial on
Slurm is a local trial in every respect. This process does nothing else, and so is there when the trial is killed.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from submitit.helpers import DelayedSubmission

from common import slurm
from common.errors import UserError
from transfer.plan import TrialPlan
from transfer.trials import run_trials

# Slurm sends SIGUSR2 before the time limit (submitit asks for it), and SIGTERM when it preempts or cancels. SIGUSR1 is
# what many sites and people send by hand.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class TrialTask:
    """One trial as submitit calls it; may be called again in a requeued job.

    Attributes:
        num_gpus: that the job has; 0 on CPU.
    """

    plan: TrialPlan
    num_gpus: int

    def __call__(self) -> str | None:
        """Runs the trial.

        Returns:
            What is wrong with the input, in one sentence; None if the trial has a record now.
        """
        requeue = signal.getsignal(signal.SIGUSR2)
        assert callable(requeue), "submitit sets its handler before it calls this"
        try:
            with _signals_unwind():
                run_trials([self.plan], jobs=1, num_gpus=self.num_gpus or None)
        except UserError as error:
            return str(error)
        except SystemExit:
            # Here the trial's process is gone and its claim released: the requeued job may take it, on any node.
            if _is_to_be_requeued():
                requeue(signal.SIGUSR2, None)
            raise
        return None

    def checkpoint(self) -> DelayedSubmission:
        """What submitit runs in the requeued job: the same; the trial goes on from its work folder."""
        return DelayedSubmission(self)


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """The first signal unwinds the block with SystemExit; further ones, which Slurm sends, do not disturb that."""

    def ignore_all() -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, frame: object) -> None:
        ignore_all()
        sys.exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except SystemExit:  # the runner has a handler of its own for SIGTERM
        ignore_all()
        raise


def _is_to_be_requeued() -> bool:
    """Not when Slurm is ending the job already: to requeue it, which it does by itself, or because it is cancelled."""
    job_id = slurm.own_job_id()
    try:
        status = slurm.job_statuses([job_id]).get(job_id)
    except slurm.SlurmSilentError:
        return False
    return status is not None and status.state == slurm.RUNNING
