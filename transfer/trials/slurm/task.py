"""What runs on the node: the local runner with one trial, and Slurm's signals turned into a requeue.

The runner starts the trial in a process of its own, keeps its log, and records it as failed if it dies; so a trial on
Slurm is a local trial in every respect. This process does nothing else, and so is there when the trial is killed.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from submitit.helpers import DelayedSubmission

from transfer.trials.plan import TrialPlan
from transfer.trials.run_many import run_trials
from twist_common.errors import UserError
from twist_common.slurm_jobs import is_to_be_requeued, signals_unwind, submitits_handler


@dataclass(frozen=True)
class TrialTask:
    """One trial as submitit calls it, once more in each requeued job.

    Attributes:
        num_gpus: that the job has; 0 on CPU.
    """

    plan: TrialPlan
    num_gpus: int

    def __call__(self) -> str | None:
        """Runs the trial; returns what is wrong with its input, in one sentence, or None if it now has a record."""
        requeue = submitits_handler()
        try:
            with signals_unwind():
                run_trials([self.plan], jobs=1, num_gpus=self.num_gpus or None)
        except UserError as error:
            return str(error)
        except SystemExit:
            # Here the trial's process is gone and its claim released: the requeued job may take it, on any node.
            if is_to_be_requeued():
                requeue(signal.SIGUSR2, None)
            raise
        return None

    def checkpoint(self) -> DelayedSubmission:
        """What submitit runs in the requeued job: the same; the trial resumes from its work folder."""
        return DelayedSubmission(self)
