"""The command line that all transfer commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from common.errors import UserError, unknown_name
from transfer import benchmarks
from transfer.plan import plan_trials, weights_ref
from transfer.trials import print_failures, resolve_device, run_trials


@dataclass
class TrialArgs:
    """Runs the trials of a benchmark from any known checkpoint; only what has no record yet is run."""

    bench: Annotated[Positional[str], arg(metavar="BENCH")]
    """which benchmark"""
    checkpoint: Annotated[Positional[str], arg(metavar="CKPT")]
    """a checkpoint's path, or random:ARCH (random:resnet18, random:resnet50) for a fresh initialisation"""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE ...")] = ()
    """settings that differ from the protocol, in the framework's own names; the rows become "off protocol" """
    trials: int | None = None
    """how many trials, with seeds 0, 1, ...; default: what the protocol says, mostly 5"""
    data: Path | None = None
    """the data set's folder; default $DATA_ROOT/<name>, or data/<name> in the repository"""
    out: Path = Path("runs")
    """where records go: OUT/<suite>/<benchmark>/<weights>-<sha8>/trial-<seed>/record.json"""
    suite: str | None = None
    """first folder below OUT; default: demo for the demo's benchmarks, else paper"""
    name: str | None = None
    """what reports call the weights; default: the file's name"""
    which: str = "student"
    """student or teacher, where a checkpoint holds both"""
    arch: str | None = None
    """the architecture, only where the checkpoint does not tell"""
    device: str = "auto"
    """auto, cpu or cuda"""
    jobs: int = 0
    """trials at a time; 0: one a core on CPU, one at a time on GPUs"""


def run_benchmarks(args: TrialArgs, names: Mapping[str, tuple[str, ...]], command: str) -> int:
    """Plans and runs the trials of ``args`` and returns the exit code.

    Args:
        names: what the user may type to the benchmarks that it stands for.
        command: as the user typed it, for messages.

    Raises:
        UserError: bad use or bad input.
    """
    if args.bench not in names:
        raise unknown_name("benchmark", args.bench, names)
    chosen = [benchmarks.get(name) for name in names[args.bench]]
    if args.trials is not None and args.trials < 1:
        raise UserError(f"--trials is {args.trials}: at least one trial is needed")
    plans = plan_trials(
        runs=args.out,
        suite=args.suite or ("demo" if chosen[0].name.startswith("demo-") else "paper"),
        benchmarks=chosen,
        weights=[weights_ref(args.checkpoint, name=args.name, which=args.which, arch=args.arch)],
        num_trials=args.trials or chosen[0].num_trials,
        data=args.data,
        overrides=args.overrides,
        device=resolve_device(args.device),
    )
    summary = run_trials(plans, jobs=args.jobs)
    print_failures(summary, command)
    print(f"{len(plans) - len(summary.failed)} of {len(plans)} trials are recorded below {args.out}")
    print(f"table: tools/report.sh {args.out}")
    return summary.exit_code
