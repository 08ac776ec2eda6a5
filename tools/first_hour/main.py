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
    """Runs every part of the suite at small size on this machine's devices, in about five minutes, before a long run.

    Prints what passed, failed or was skipped, and what to do; writes OUT/preflight.json; exits with 1 on a failure.

    checks:
      driver     torch sees every GPU
      gradients  the gradient of a step in bf16 is the one in fp32 up to rounding
      jitter     colors augmented on the device match those from the data-loading processes
      resume     a resumed run ends with the weights of an uninterrupted one
      ddp        all GPUs train together, over NCCL; on CPU two processes over gloo
      syncbn     batch norm over several processes is batch norm over the whole batch
      fork       a process forked from one that has imported all frameworks can use the device
      trials     a short trial of each task, and of fine-tuning, ends with a record
      loaders    one core decodes and augments about as many images per second as planned
      speed      a step of rn50 is about as fast as planned
      memory     a step of rn50 uses about as much memory as planned
      layouts    in bf16, channels last with cudnn.benchmark is not slower than row-major

    example: tools/preflight.sh driver ddp --out /scratch/preflight
    """

    checks: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CHECK ...")] = ()
    """the checks to run; default: all"""
    device: str = "auto"
    """auto, cpu or cuda"""
    out: Path = Path("runs/preflight")
    """output folder; what the checks write there is removed if all of them pass"""


def main(args: Args) -> int:
    """Runs the checks one after the other."""
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
