"""The command line that all transfer commands share."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from common.errors import UserError, unknown_name
from transfer import benchmarks
from transfer.commands.launch import LaunchArgs, launch, launch_device
from transfer.commands.plan import show_plan
from transfer.commands.plan_args import PlanArgs
from transfer.commands.seeds import chosen_seeds
from transfer.preflight.canary import run_canary
from transfer.preflight.data import check_data
from transfer.preflight.protocol import forewarnings
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.run_many import Summary, print_failures

# Settings by which a trial asks for other data than its protocol's.
DATA_SETTINGS = ("DATASETS.", "num_images", "train_dataloader.dataset", "test_dataloader.dataset")


@dataclass
class TrialArgs(LaunchArgs):
    """Runs the trials of a benchmark from any known checkpoint; only what has no record yet is run."""

    bench: Annotated[Positional[str], arg(metavar="BENCH")]
    """which benchmark"""
    checkpoint: Annotated[Positional[str], arg(metavar="CKPT")]
    """a checkpoint's path, or random:ARCH (random:resnet18, random:resnet50) for a fresh initialisation"""
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE ...")] = ()
    """settings that differ from the protocol, in the framework's own names; the rows become "off protocol" """
    trials: int | None = None
    """how many trials, with seeds 0, 1, ...; default: what the protocol says, mostly 5"""
    seeds: Annotated[tuple[str, ...], arg(metavar="SEED|FIRST-LAST ...")] = ()
    """the trials' seeds in place of --trials: 0 3 7, or 5-9"""
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
    planning: PlanArgs = field(default_factory=PlanArgs)


@dataclass
class DenseArgs(TrialArgs):
    """What detection and segmentation have in common."""

    frozen: bool = False
    """train nothing of the backbone: a probe, and a benchmark of its own"""
    rescale: int | None = None
    """images a step in place of the protocol's, with learning rate and schedule in proportion: for fewer GPUs"""
    canary: bool = False
    """first run one short trial from a random initialisation, and stop if it does not end where it should"""
    canary_weights: Path | None = None
    """supervised weights for a second canary"""


def run_dense(
    args: DenseArgs, names: Mapping[str, tuple[str, ...]], frozen: Mapping[str, tuple[str, ...]], command: str
) -> int:
    """:func:`run_benchmarks` for detection and segmentation, which need more before the first trial.

    The data are checked, it is said what will not be on protocol, and the canaries are run.

    Args:
        names: see :func:`run_benchmarks`.
        frozen: the same with ``--frozen``.

    Raises:
        UserError: as :func:`run_benchmarks`; or there is no frozen probe, the data are incomplete or damaged, or a
            canary did not end where it should.
    """
    if args.frozen and args.bench in names and args.bench not in frozen:
        raise UserError(f"{args.bench} has no frozen probe: --frozen goes with {', '.join(frozen)}")
    if args.canary_weights is not None and not args.canary:
        raise UserError("--canary-weights is for a second canary: give --canary too")
    if args.rescale is not None and args.rescale < 1:
        raise UserError(f"--rescale is {args.rescale}: a batch has at least one image")
    chosen = _chosen(args, frozen if args.frozen else names)
    plans = _plans(args, chosen, rescale=args.rescale)
    if args.planning.plan:
        return show_plan(plans, args.planning, jobs=args.jobs, num_gpus=args.gpus_per_trial)
    _check_data(args, chosen)
    for line in forewarnings(plans):
        print(line, file=sys.stderr)
    if args.canary:
        for benchmark in chosen:
            found = run_canary(
                benchmark,
                runs=args.out,
                data=args.data,
                device=launch_device(args, chosen),
                launch=lambda canaries: launch(canaries, args),
                supervised=None if args.canary_weights is None else str(args.canary_weights),
                rescale=args.rescale,
            )
            print("\n".join(found), file=sys.stderr)
    return _run(plans, args, command)


def run_benchmarks(
    args: TrialArgs, names: Mapping[str, tuple[str, ...]], command: str, *, labels: Path | None = None
) -> int:
    """Plans and runs the trials of ``args`` and returns the exit code.

    Args:
        names: what the user may type to the benchmarks that it stands for.
        command: as the user typed it, for messages.
        labels: a list of labelled training images.

    Raises:
        UserError: bad use or bad input; the data are incomplete or damaged.
    """
    chosen = _chosen(args, names)
    plans = _plans(args, chosen, labels=labels)
    if args.planning.plan:
        return show_plan(plans, args.planning, jobs=args.jobs, num_gpus=args.gpus_per_trial)
    _check_data(args, chosen)
    return _run(plans, args, command)


def _check_data(args: TrialArgs, chosen: Sequence[benchmarks.Benchmark]) -> None:
    other_data = any(override.startswith(DATA_SETTINGS) for override in args.overrides)
    for benchmark in chosen:
        check_data(benchmark, args.data, counts=not other_data)


def _plans(
    args: TrialArgs,
    chosen: Sequence[benchmarks.Benchmark],
    *,
    rescale: int | None = None,
    labels: Path | None = None,
) -> list[TrialPlan]:
    args.planning.check()
    must_exist = not args.planning.plan
    weights = weights_ref(args.checkpoint, name=args.name, which=args.which, arch=args.arch, must_exist=must_exist)
    return plan_trials(
        runs=args.out,
        suite=args.suite or ("demo" if chosen[0].name.startswith("demo-") else "paper"),
        benchmarks=chosen,
        weights=[weights],
        seeds=chosen_seeds(args.trials, args.seeds, chosen[0].num_trials),
        data=args.data,
        overrides=args.overrides,
        device=launch_device(args, chosen),
        rescale=rescale,
        must_exist=must_exist,
        labels=labels,
    )


def _run(plans: Sequence[TrialPlan], args: TrialArgs, command: str) -> int:
    summary = launch(plans, args)
    print_summary(plans, summary, args.out, command)
    return summary.exit_code


def print_summary(plans: Sequence[TrialPlan], summary: Summary, out: Path, command: str) -> None:
    """How the trials went: what failed, how many have a record, what is not on protocol; and what comes next."""
    print_failures(summary, command)
    print(f"{len(plans) - len(summary.failed) - summary.queued} of {len(plans)} trials are recorded below {out}")
    for line in _not_on_protocol(plans):
        print(line)
    print(f"table: tools/report.sh {out}")


def _chosen(args: TrialArgs, names: Mapping[str, tuple[str, ...]]) -> list[benchmarks.Benchmark]:
    if args.bench not in names:
        raise unknown_name("benchmark", args.bench, names)
    return [benchmarks.get(name) for name in names[args.bench]]


def _not_on_protocol(plans: Sequence[TrialPlan]) -> list[str]:
    """One line for each way in which recorded trials are not on protocol, or made up their batch in parts."""
    found: Counter[str] = Counter()
    for plan in plans:
        if record := plan.finished_record():
            if record.protocol_difference:
                found[f"{record.standing or 'off protocol'}: {'; '.join(record.protocol_difference)}"] += 1
            if record.batch:
                found[record.batch] += 1
    return [f"{count} of {len(plans)} trials {how}" for how, count in found.items()]
