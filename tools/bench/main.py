"""``tools/bench.sh``: hot spots of both stages against a plain implementation or another library, as ratios."""

from __future__ import annotations

import json
import os
import pkgutil
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.case import CASES, Args, Case
from twist_common import cli
from twist_common.cuda import check_cuda
from twist_common.errors import UserError, unknown_name
from twist_common.files import write_text

if TYPE_CHECKING:
    from tools.bench.measure import Comparison

COLUMNS = {"case": 22, "kind": 9, "ratio": 8, "quartiles": 18, "ours": 12, "textbook": 12, "threads": 8, "calls": 6}


def main(args: Args) -> int:
    """Measures, and prints a table with one line per case."""
    for name in args.cases:
        if name not in CASES:
            raise unknown_name("case", name, CASES)
    for option, value in {"--repeats": args.repeats, "--threads": args.threads}.items():
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}: give a whole number from 1 up")
    if not args.list:
        print(table_line(*COLUMNS, "target"), flush=True)
    comparisons: list[Comparison] = []
    for name in args.cases or CASES:
        # The networks and batches of one name are released before those of the next are made.
        for case in load_cases(CASES[name], args):
            if args.list:
                print(f"{case.name}: {case.what}; {case.kind} {case.bound}")
            else:
                comparisons.append(measured(case, args))
    if args.json and not args.list:
        report = {"machine": machine(args.device), "cases": [each.as_dict() for each in comparisons]}
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    missed = [each.case.name for each in comparisons if not each.is_reached]
    if missed:
        print(f"target missed: {', '.join(missed)}")
    return cli.EXIT_TRIAL_FAILED if args.check and missed else cli.EXIT_DONE


def load_cases(maker: str, args: Args) -> list[Case]:
    """The cases that ``module:function`` makes, on the device.

    Raises:
        UserError: there is no such device, or an option does not suit the case.
    """
    for name, level in {"KINETO_LOG_LEVEL": "5", "TORCH_CPP_LOG_LEVEL": "ERROR"}.items():
        os.environ.setdefault(name, level)  # the profiler's own remarks on starting and stopping
    import torch

    if args.device == "cuda":
        check_cuda()
    torch.manual_seed(0)
    with torch.device(args.device):
        cases: list[Case] = pkgutil.resolve_name(maker)(args)
    return cases


def measured(case: Case, args: Args) -> Comparison:
    """Measures a case and prints its line of the table."""
    import torch

    from tools.bench.measure import compare

    threads = args.threads or len(os.sched_getaffinity(0))
    result = compare(case, repeats=args.repeats, threads=threads, device=torch.device(args.device))
    (low, high), verdict = result.spread, "reached" if result.is_reached else "MISSED"
    ours, textbook = (f"{figure:.4g} {case.unit}" for figure in result.medians)
    ratio = (f"{result.ratio:.2f}", f"[{low:.2f}, {high:.2f}]")
    line = table_line(
        case.name, case.kind, *ratio, ours, textbook, result.threads, len(result.ours), f"{case.bound}: {verdict}"
    )
    print(line, *([f"  {case.note()}"] if case.note else []), sep="\n", flush=True)
    return result


def table_line(*cells: object) -> str:
    """A cell for each of :data:`COLUMNS`, and what follows them."""
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, [*COLUMNS.values(), 0], strict=True))


def machine(device: str) -> dict[str, Any]:
    """The machine on which the figures were measured."""
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
