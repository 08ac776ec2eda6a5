"""Pre-training as a Slurm job over any number of nodes: ``tools/pretrain.sh RECIPE --launcher slurm --nodes 2``.

Slurm starts one process per GPU; they find each other through torchrun's environment variables. Asked to stop, they
write a checkpoint, and the job is requeued and resumes from it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pretrain.recipe import Recipe
from pretrain.run.finished import NOTE_NAME
from pretrain.run.preemption import EXIT_PREEMPTED
from pretrain.run.process import run_process
from twist_common import cli, slurm, slurm_jobs
from twist_common.errors import UserError
from twist_common.files import write_text
from twist_common.printable import printable
from twist_common.process import STOP_SIGNALS
from twist_common.slurm import JobStatus

MAX_TIMEOUTS = 1000  # each job resumes from a checkpoint, so a long recipe can run under short time limits
SIGNAL_SECONDS = 180  # before the time limit: enough for a step and for a checkpoint on a slow file system
POLL_SECONDS = 5.0
EMBEDDED_RECIPE = "demo"
# Exit codes of a process that was asked to stop: with a checkpoint (pretrain.run.preemption), or before it started.
STOPPED = (EXIT_PREEMPTED, *(128 + number for number in STOP_SIGNALS))
# Processes waiting for one that has died would block all nodes for ever. The first process may need longer than the
# others, which do not write a checkpoint.
SRUN_ARGS = ("--kill-on-bad-exit=0", "--wait=300")


@dataclass(kw_only=True)
class PretrainSlurmArgs(slurm.SlurmArgs):
    """Options of --launcher slurm."""

    nodes: int = 1
    """machines"""
    gpus_per_node: int | None = None
    """GPUs per machine, one process each; without it, one CPU process per node, for the recipe demo or --device cpu"""
    cpus_per_process: int | None = None
    """CPU cores for each process, to load its images; default: 10 with a GPU, 1 without"""
    wait: bool = False
    """return when the job has ended, instead of as soon as it is submitted"""


@dataclass(frozen=True, kw_only=True)
class PretrainTask:
    """One process of a run, as submitit calls it; called again when the job is requeued.

    Attributes:
        data, out: absolute.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str

    def __call__(self) -> None:
        """Trains; if asked to stop, has the job requeued."""
        from submitit.helpers import TorchDistributedEnvironment

        requeue = slurm_jobs.submitits_handler()
        # Sets torchrun's variables from Slurm's. An address set by the user, for nodes with several networks, is kept.
        address = os.environ.get("MASTER_ADDR")
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        if address:
            os.environ["MASTER_ADDR"] = address
        try:
            with slurm_jobs.signals_unwind():
                sys.exit(run_process(self.recipe, data=self.data, out=self.out, device=self.device))
        except UserError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            sys.exit(cli.EXIT_BAD_USE)
        except SystemExit as end:
            if end.code in STOPPED and slurm_jobs.is_to_be_requeued():
                requeue(signal.SIGUSR2, None)  # only the first process does anything here
            if end.code:
                raise

    def checkpoint(self) -> object:
        """What submitit runs in the requeued job: the same; it resumes from ``out``."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(task: PretrainTask, args: PretrainSlurmArgs) -> int:
    """Submits the run, unless its job is already queued or running, and returns the exit code.

    Raises:
        UserError: bad use, or Slurm refuses or does not answer.
    """
    slurm.require()
    for name, count in (("--nodes", args.nodes), ("--gpus-per-node", args.gpus_per_node)):
        if count is not None and count < 1:
            raise UserError(f"{name} is {count}: give a number from 1 up")
    if args.gpus_per_node and task.device == "cpu":
        raise UserError("--device cpu and --gpus-per-node exclude each other: leave one out")
    if not args.gpus_per_node and task.device != "cpu" and task.recipe.name != EMBEDDED_RECIPE:
        raise UserError("the number of GPUs per node is not known here: give --gpus-per-node N, or --device cpu")
    if not task.data.is_dir():
        raise UserError(f"no folder {task.data} with images: give --data DIR, on a file system that the nodes share")
    folder = task.out / "slurm"
    job_id, status = _earlier_job(folder)
    if status is None:
        num_processes = args.gpus_per_node or 1
        # Decided here, not on the node, which may have GPUs that do not belong to this job.
        task = replace(task, device="cuda" if args.gpus_per_node else "cpu")
        (job,) = slurm_jobs.submit(
            [task],
            folder,
            args,
            max_timeouts=MAX_TIMEOUTS,
            signal_seconds=SIGNAL_SECONDS,
            cpus=args.cpus_per_process or (10 if args.gpus_per_node else 1),
            gpus_per_node=args.gpus_per_node or 0,
            srun_args=SRUN_ARGS,
            job_name=f"pretrain-{task.recipe.name}",
            nodes=args.nodes,
            ntasks_per_node=num_processes,
        )
        job_id = job.job_id
        write_text(folder / "job.json", json.dumps({"job_id": job_id}) + "\n")
        print(f"submitted as Slurm job {job_id}: {args.nodes} node(s), {num_processes} process(es) on each")
    else:
        print(f"this run is already Slurm job {job_id}: {status}")
    print(f"its state: squeue --jobs={job_id}; its output: {folder / f'{job_id}_0_log.out'}")
    return _wait(job_id, task.out) if args.wait else 0


def _earlier_job(folder: Path) -> tuple[str, JobStatus | None]:
    """The last job submitted for this run, if it has not ended; otherwise ("", None)."""
    note = folder / "job.json"
    if not note.is_file():
        return "", None
    job_id = str(json.loads(note.read_text(encoding="utf-8"))["job_id"])
    status = slurm.job_statuses([job_id]).get(job_id)
    return (job_id, status) if status and not status.has_ended else ("", None)


def _wait(job_id: str, out: Path) -> int:
    """Waits until the job has ended; 0 if the run is finished, else 1."""
    while True:
        try:
            status = slurm.job_statuses([job_id]).get(job_id)
        except slurm.SlurmSilentError:
            status = JobStatus(state=slurm.PENDING, reason="", nodes="")  # it will answer again
        if status is None or status.has_ended:
            break
        time.sleep(POLL_SECONDS)
    if (out / NOTE_NAME).is_file():
        return 0
    print(f"error: Slurm job {job_id} ended as {status or 'unknown'}, the run is not finished", file=sys.stderr)
    return 1
