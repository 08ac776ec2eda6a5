"""``tools/pretrain.sh``: one process for each GPU of this machine, by torchrun; in a Slurm allocation, of each node.

Several machines without Slurm: NNODES, NODE_RANK and MASTER_ADDR on each.
"""

from __future__ import annotations

import os
import subprocess
import sys

from common import cli
from common.errors import UserError
from common.gpus import num_processes, resolve_device
from pretrain import train

PORT = "29500"


def main(args: train.Args) -> int:
    """Trains here, or in as many processes as there are GPUs."""
    if args.plan or args.launcher == "slurm":
        return train.main(args)
    machines = num_machines()
    processes = num_processes(resolve_device(args.device))
    if machines > 1 or processes > 1:
        where = ["--standalone"] if machines == 1 else meeting_point(machines)
        options = [*where, f"--nproc-per-node={processes}", "-m", "pretrain.train", *sys.argv[1:]]
        os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *options])
    return train.main(args)


def num_machines() -> int:
    """How many machines take part, from the environment."""
    return int(os.environ.get("NNODES") or os.environ.get("SLURM_NNODES") or 1)


def meeting_point(machines: int) -> list[str]:
    """Torchrun's options by which the machines find each other.

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
    """The first machine of the Slurm allocation; empty outside of one."""
    nodes = os.environ.get("SLURM_JOB_NODELIST")
    if not nodes:
        return ""
    shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    return shown.stdout.split()[0]


if __name__ == "__main__":
    cli.run(train.Args, main, prog="tools/pretrain.sh")
