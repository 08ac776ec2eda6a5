"""Runs the checks, prints a table, writes ``preflight.json``."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from transfer.report.read.preflights import FORMAT, PREFLIGHT_FILE, VERSION
from twist_common import cli
from twist_common.errors import unknown_name
from twist_common.files import make_dir, write_text
from twist_common.gpus import described, resolve_device

WIDTHS = {"check": 10, "status": 8, "seconds": 8}


@dataclass
class Args:
    """Runs every path at small size on this machine's devices, in about five minutes, before the first long run.

    Prints what passed, failed and was skipped, and what to do; writes OUT/preflight.json; exits with 1 on a failure.

    checks:
      driver     torch sees every GPU
      gradients  a step's gradient in bf16 is the one in fp32 but for rounding
      jitter     colours on the device are those that the loading processes make
      resume     a run that continues from a checkpoint ends with the weights of one that was not stopped
      ddp        all GPUs train together, over NCCL; on CPU two processes over gloo
      syncbn     batch norm over several processes is batch norm over the whole batch
      fork       a process forked from one with all frameworks can use the device
      trials     a short trial of each task, and of fine-tuning, ends in a record
      loaders    one core decodes and augments about as many images as the plan says
      speed      a step of rn50 runs about as fast as the plan says
      memory     a step of rn50 takes about the memory that the plan says
      layouts    channels last and cuDNN's fastest algorithm, as bf16 has them, are not slower than without

    example: tools/preflight.sh driver ddp --out /scratch/preflight
    """

    checks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CHECK ...")] = ()
    """which checks; default: all"""
    device: str = "auto"
    """auto, cpu or cuda"""
    out: Path = Path("runs/preflight")
    """where everything goes; what the checks wrote is removed if all is well"""


def main(args: Args) -> int:
    """Makes the checks one after the other."""
    device = resolve_device(args.device)
    print(f"device: {described(device)}", flush=True)
    from tools.first_hour.checks import CHECKS, outcome  # imports torch
    from tools.first_hour.site import Site

    for name in args.checks:
        if name not in CHECKS:
            raise unknown_name("check", name, CHECKS)
    site = Site(device, make_dir(args.out.resolve()) / "work")
    site.prepare()
    results = {}
    print(" ".join(f"{name:<{width}}" for name, width in WIDTHS.items()), "what was found", flush=True)
    for name in args.checks or CHECKS:
        results[name] = found = outcome(CHECKS[name], site)
        print(f"{name:<10} {found['status']:<8} {found['seconds']:<8} {found['detail']}", flush=True)
        if found["status"] == "fail":
            found["remedy"] = CHECKS[name].remedy
            print(f"{'':<29}what to do: {found['remedy']}", flush=True)
    failed = [name for name, found in results.items() if found["status"] == "fail"]
    content = {"format": FORMAT, "version": VERSION, "device": described(device), "failed": failed, "checks": results}
    write_text(args.out / PREFLIGHT_FILE, json.dumps(content, indent=1) + "\n")
    if failed:
        print(f"error: {', '.join(failed)} failed: see {args.out / PREFLIGHT_FILE} and {site.folder}", file=sys.stderr)
        return cli.EXIT_TRIAL_FAILED
    shutil.rmtree(site.folder)
    return cli.EXIT_DONE


def run() -> None:
    cli.run(Args, main, prog="tools/preflight.sh")


if __name__ == "__main__":
    run()
