"""``tools/pretrain.sh``: torchrun with one process per GPU of this machine, or of each node of a Slurm allocation.

To use several machines without Slurm, set NNODES, NODE_RANK and MASTER_ADDR on each.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

from pretrain import train
from pretrain.run.finished import is_finished
from pretrain.run.preemption import EXIT_PREEMPTED
from twist_common import cli, start
from twist_common.errors import UserError
from twist_common.gpus import num_processes, resolve_device
from twist_common.process import STOP_SIGNALS

PORT = "29500"
# The processes of one machine connect through localhost: if the machine's own name has no address, as in a container
# without network, they would try to resolve it until they give up (`--local-addr`, https://docs.pytorch.org/docs/stable/elastic/run.html).
STANDALONE = ("--standalone", "--local-addr=localhost")
STOP_SECONDS = 1800  # enough for a step and a checkpoint even on a slow file system
FROM_TERMINALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main(args: train.Args) -> int:
    """Trains in this process, or in one process per GPU."""
    recipe, out = train.resolved(args)
    if args.plan or args.launcher == "slurm" or is_finished(out, recipe):
        return train.main(args)
    machines = num_machines()
    processes = num_processes(resolve_device(args.device))
    if machines == 1 and processes == 1:
        return train.main(args)
    where = STANDALONE if machines == 1 else meeting_point(machines)
    return torchrun([*where, f"--nproc-per-node={processes}"], sys.argv[1:])


def torchrun(options: list[str], arguments: list[str]) -> int:
    """Runs torchrun in this process, and by it ``pretrain.train arguments``; returns the exit code of its processes.

    Requests to stop are passed on to them; they have :data:`STOP_SECONDS` to write their checkpoint. Torchrun itself
    would pass on neither SIGUSR1 nor SIGUSR2, and would kill them after 30 s.
    """
    if "LOGLEVEL" not in os.environ:  # torchrun's variable; the processes print one sentence instead of its page
        logging.disable(logging.ERROR)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    signals = ",".join(signal.Signals(number).name for number in (*STOP_SIGNALS, *FROM_TERMINALS))
    program = [start.__file__, "-m", "pretrain.train", *arguments]
    try:
        main([f"--signals-to-handle={signals}", f"--shutdown-timeout={STOP_SECONDS}", *options, *program])
    except SignalException as stop:
        return EXIT_PREEMPTED if stop.sigval in STOP_SIGNALS else 128 + stop.sigval
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode >= 0:
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        print(
            f"error: process {rank} (pid {failure.pid}) was ended by {name}, and the others with it: start the same "
            "command again to resume; if it was short of memory, dmesg says so",
            file=sys.stderr,
        )
        return cli.EXIT_TRIAL_FAILED
    return cli.EXIT_DONE


def num_machines() -> int:
    """The number of machines, from the environment."""
    return int(os.environ.get("NNODES") or os.environ.get("SLURM_NNODES") or 1)


def meeting_point(machines: int) -> list[str]:
    """Torchrun's options for connecting the machines.

    Raises:
        UserError: a variable is missing.
    """
    rank = os.environ.get("NODE_RANK") or os.environ.get("SLURM_NODEID")
    address = os.environ.get("MASTER_ADDR") or first_node()
    for name, value in {"NODE_RANK": rank, "MASTER_ADDR": address}.items():
        if not value:
            raise UserError(f"a run on {machines} machines needs {name}: set it on each")
    port = os.environ.get("MASTER_PORT", PORT)
    return [f"--nnodes={machines}", f"--node-rank={rank}", f"--master-addr={address}", f"--master-port={port}"]


def first_node() -> str:
    """The first machine of the Slurm allocation; empty outside an allocation."""
    nodes = os.environ.get("SLURM_JOB_NODELIST")
    if not nodes:
        return ""
    shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    return shown.stdout.split()[0]


def run() -> None:
    cli.run(train.Args, main, prog="tools/pretrain.sh", settings=train.settings_lines())


if __name__ == "__main__":
    run()
