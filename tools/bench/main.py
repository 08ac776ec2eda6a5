"""``tools/bench.sh``: every hot spot of pre-training against a plain textbook implementation, as a ratio."""

from __future__ import annotations

import importlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from common import cli
from common.errors import UserError, unknown_name
from common.files import write_text

if TYPE_CHECKING:
    from tools.bench.case import Case
    from tools.bench.measure import Comparison

HOT_SPOTS = {
    "augmentation": "tools.bench.augmentation",
    "loss": "tools.bench.loss",
    "lars": "tools.bench.lars",
    "step": "tools.bench.step",
}


@dataclass(frozen=True)
class Args:
    """Measures the hot spots of pre-training against textbook implementations that were written for clarity.

    Both ways of a case run in turn in this one process, so the ratio means something on a busy machine too. It is the
    ratio of the medians; in brackets the first and third quartile of the ratios of neighbouring calls. "speedup" is
    textbook / ours, "overhead" is ours / the part of the work that cannot be saved.

    example: tools/bench.sh loss lars --threads 1 --repeats 15 --json bench.json
    """

    hot_spots: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(help=f"Some of {', '.join(HOT_SPOTS)}; none means all.")
    ] = ()
    threads: int | None = None
    """Threads of torch; default as many as there are cores for this process."""
    repeats: int = 7
    """Measurements of each way."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the networks and the loss are; the augmentation is always the CPU's."""
    json: Path | None = None
    """A file for every single figure and what the machine is."""
    list: bool = False
    """Say what would be measured, and the targets; measure nothing."""
    check: bool = False
    """End with code 1 if a target is missed."""


def main(args: Args) -> int:
    """Measures and prints one line a case."""
    for name in args.hot_spots:
        if name not in HOT_SPOTS:
            raise unknown_name("hot spot", name, HOT_SPOTS)
    for option, value in {"--repeats": args.repeats, "--threads": args.threads}.items():
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}: give a whole number from 1 up")
    threads = args.threads or len(os.sched_getaffinity(0))
    comparisons: list[Comparison] = []
    for name in args.hot_spots or HOT_SPOTS:
        # A hot spot's networks and batches are let go before the next one's are made.
        for case in load_cases(HOT_SPOTS[name], args.device, threads):
            if args.list:
                print(_description(case))
            else:
                comparisons.append(_measured(case, args, threads))
    if args.json and not args.list:
        report = {"machine": machine(args.device), "cases": [each.as_dict() for each in comparisons]}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    missed = [each.case.name for each in comparisons if not each.is_reached]
    if missed:
        print(f"target missed: {', '.join(missed)}")
    return cli.EXIT_TRIAL_FAILED if args.check and missed else cli.EXIT_DONE


def load_cases(module: str, device: str, threads: int) -> list[Case]:
    """The cases of a hot spot's module, made on ``device``.

    Raises:
        UserError: there is no such device.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    for name, level in {"KINETO_LOG_LEVEL": "5", "TORCH_CPP_LOG_LEVEL": "ERROR"}.items():
        os.environ.setdefault(name, level)  # the profiler's own remarks on starting and stopping
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device is visible to PyTorch; leave it out to measure on the CPU")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with torch.device(device):
        cases: list[Case] = importlib.import_module(module).cases()
    return cases


def _measured(case: Case, args: Args, threads: int) -> Comparison:
    import torch

    from tools.bench.measure import compare

    comparison = compare(case, repeats=args.repeats, threads=threads, device=torch.device(args.device))
    print(line(comparison), flush=True)
    return comparison


def _description(case: Case) -> str:
    return f"{case.name}: {case.what}; {case.kind} {_bound(case)}"


def _bound(case: Case) -> str:
    return f"{'at least' if case.kind == 'speedup' else 'at most'} {case.target:g}"


def line(comparison: Comparison) -> str:
    """What was measured, for a terminal."""
    from statistics import median

    case, (low, high) = comparison.case, comparison.spread
    times = f"ours {median(comparison.ours):.4g} {case.unit}, textbook {median(comparison.textbook):.4g} {case.unit}"
    verdict = "reached" if comparison.is_reached else "MISSED"
    threads = f"{comparison.threads} thread{'s' if comparison.threads > 1 else ''}"
    return (
        f"{case.name}: {case.kind} {comparison.ratio:.2f} [{low:.2f}, {high:.2f}] ({times}, {threads}, "
        f"{len(comparison.ours)} pairs); target {_bound(case)}: {verdict}"
    )


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    processors = Path("/proc/cpuinfo")
    names = processors.read_text(encoding="utf-8").splitlines() if processors.is_file() else []
    model = next((name.split(":", 1)[1].strip() for name in names if name.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    cli.run(Args, main, prog="tools/bench.sh")
