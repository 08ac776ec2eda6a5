"""What all commands that run trials share: their options, and the way from benchmarks to records."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from transfer.benchmarks import BENCHMARKS
from transfer.commands.launch import LaunchArgs, launch, launch_device
from transfer.commands.own import OwnDataArgs, default_suite, schedule_line, with_own_data
from transfer.commands.plan import PlanArgs, show_plan
from transfer.commands.reading import ReadingArgs
from transfer.commands.seeds import chosen_seeds
from transfer.preflight.check import CanaryArgs, check_before_trials, check_without_data
from transfer.tasks.own_files import NOT_NAMED, NamedFiles
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.states import recorded_state
from transfer.trials.summary import RunSummary, print_failures
from twist_common import cli
from twist_common.errors import UserError, unknown_name


@dataclass(kw_only=True)
class RunArgs(LaunchArgs, CanaryArgs):
    """Which trials, where their records go, and what comes before them: options of every command that runs trials."""

    trials: int | None = None
    """how many trials, with seeds 0, 1, ...; default: what the protocol says, mostly 5"""
    seeds: Annotated[tuple[str, ...], arg(metavar="SEED|FIRST-LAST ...")] = ()
    """the trials' seeds in place of --trials: 0 3 7, or 5-9"""
    data: Path | None = None
    """the data set's folder; default $DATA_ROOT/<name>, or data/<name> in the checkout, or here without one"""
    out: Path = Path("runs")
    """where records go: OUT/<suite>/<benchmark>/<weights>-<sha8>/trial-<seed>/record.json"""
    planning: PlanArgs = field(default_factory=PlanArgs)


@dataclass
class TrialArgs(RunArgs):
    """Runs the trials of a benchmark from any known checkpoint; only what has no record yet is run."""

    bench: Annotated[Positional[str], arg(metavar="BENCH")]
    """which benchmark"""
    #: a checkpoint's path, timm:NAME[@FILE] or hf://OWNER/NAME[/FILE][@REVISION] (see tools/convert.sh --help), or
    #: random:ARCH (random:resnet18, random:resnet50) for a fresh initialisation
    checkpoint: Annotated[Positional[str], arg(metavar="CKPT")]
    overrides: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY=VALUE ...")] = ()
    """settings that differ from the protocol, in the framework's own names; their rows are marked "off protocol" """
    suite: str | None = None
    """first folder below OUT; default: demo for the demo's benchmarks, else paper"""
    name: str | None = None
    """what reports call the weights; default: the file's name"""
    reading: ReadingArgs = field(default_factory=ReadingArgs)


@dataclass
class DenseArgs(TrialArgs):
    """The options that detection and segmentation have in common."""

    frozen: bool = False
    """train nothing of the backbone: a probe, and a benchmark of its own"""
    own: OwnDataArgs = field(default_factory=OwnDataArgs)
    rescale: int | None = None
    """images per step in place of the protocol's, with learning rate and schedule in proportion: for fewer GPUs"""


def typed_names(task: str, option: str | None = None) -> dict[str, tuple[str, ...]]:
    """What the user may type after a task's command to the benchmark that it stands for.

    Args:
        option: only the benchmarks that this option asks for, e.g. ``"--frozen"``.
    """
    rows = [row for row in BENCHMARKS.values() if row.task == task and row.option == option]
    return {row.typed: (row.name,) for row in rows}


def benchmark_lines(task: str) -> str:
    """The task's benchmarks with their variants, as ``--help`` lists them."""
    rows = [row for row in BENCHMARKS.values() if row.task == task]
    lines: dict[str, str] = {}  # what is typed to its line
    for row in rows:
        if row.option is None:
            variants = [other for other in rows if other.variant_of == row.name]
            also = "".join(f"\n{other.option}: {other.summary}" for other in variants)
            lines[row.group or row.typed] = f"{row.summary}{also}"
    width = max(map(len, lines)) + 2
    indent = "\n" + " " * (width + 2)
    return "\n".join(f"  {typed:{width}}{indent.join(text.splitlines())}" for typed, text in lines.items())


def run_dense(args: DenseArgs, task: str, command: str) -> int:
    """:func:`run_benchmarks` for detection and segmentation.

    Raises:
        UserError: as :func:`run_benchmarks`; or there is no frozen probe, or an empty batch.
    """
    names, frozen = typed_names(task), typed_names(task, "--frozen")
    if args.frozen and args.bench in names and args.bench not in frozen:
        raise UserError(f"{args.bench} has no frozen probe: --frozen goes with {', '.join(frozen)}")
    if args.rescale is not None and args.rescale < 1:
        raise UserError(f"--rescale is {args.rescale}: a batch has at least one image")
    return run_benchmarks(
        args, frozen if args.frozen else names, command, rescale=args.rescale, named=args.own.named_files()
    )


def run_benchmarks(
    args: TrialArgs,
    names: Mapping[str, tuple[str, ...]],
    command: str,
    *,
    rescale: int | None = None,
    labels: Path | None = None,
    named: NamedFiles = NOT_NAMED,
) -> int:
    """Plans and runs the trials of ``args`` and returns the exit code.

    Args:
        command: as the user typed it, for messages.

    Raises:
        UserError: see :func:`plan_benchmarks` and :func:`plan_or_run`.
    """
    plans = plan_benchmarks(args, names, rescale=rescale, labels=labels, named=named)
    return plan_or_run(plans, args, command)


def plan_benchmarks(
    args: TrialArgs,
    names: Mapping[str, tuple[str, ...]],
    *,
    rescale: int | None = None,
    labels: Path | None = None,
    named: NamedFiles = NOT_NAMED,
) -> list[TrialPlan]:
    """The trials that ``args`` asks for.

    Args:
        names: what the user may type to the benchmarks that it stands for.
        labels: a list of labelled training images.
        named: what the user says of own data.

    Raises:
        UserError: bad use or bad input.
    """
    if args.bench not in names:
        raise unknown_name("benchmark", args.bench, names)
    must_exist = not args.planning.plan
    chosen = [with_own_data(BENCHMARKS[name], args.data, named, must_exist=must_exist) for name in names[args.bench]]
    weights = weights_ref(
        args.checkpoint,
        name=args.name,
        which=args.reading.taken(args.checkpoint),
        arch=args.reading.arch,
        reading=args.reading.reading(),
        must_exist=must_exist,
    )
    plans = plan_trials(
        runs=args.out,
        suite=default_suite(chosen[0], args.data) if args.suite is None else args.suite,
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
    if chosen[0].dataset.content and chosen[0].dataset.counts:
        print(schedule_line(plans[0]))
    return plans


def plan_or_run(
    plans: Sequence[TrialPlan], args: RunArgs, command: str, after_benchmark: Callable[[], str] | None = None
) -> int:
    """Shows what would run; or checks everything, runs what has no record, and prints how it went.

    Args:
        after_benchmark: see :func:`transfer.commands.launch.launch`.

    Returns:
        The exit code.

    Raises:
        UserError: see :func:`transfer.preflight.check.check_before_trials` and :func:`transfer.commands.launch.launch`.
    """
    args.planning.check()
    if args.canary_weights is not None and not args.canary:
        raise UserError("--canary-weights is for a second canary: give --canary too")
    if args.planning.plan:
        check_without_data(plans)
        return show_plan(plans, args.planning, jobs=args.jobs, num_gpus=args.gpus_per_trial)
    summary = check_and_launch(plans, args, after_benchmark)
    print_failures(summary, cli.as_typed(command))
    print(f"{len(plans) - len(summary.failed) - summary.queued} of {len(plans)} trials are recorded below {args.out}")
    remarks: Counter[str] = Counter()  # trials off their protocol, or with their batch in parts
    for plan in plans:
        if record := recorded_state(plan).finished():
            if record.protocol_difference:
                remarks[f"{record.standing or 'off protocol'}: {'; '.join(record.protocol_difference)}"] += 1
            if record.batch:
                remarks[record.batch] += 1
    for remark, count in remarks.items():
        print(f"{count} of {len(plans)} trials {remark}")
    print(cli.as_typed(f"table: tools/report.sh {shlex.quote(str(args.out))}"))
    return summary.exit_code


def check_and_launch(
    plans: Sequence[TrialPlan], args: RunArgs, after_benchmark: Callable[[], str] | None = None
) -> RunSummary:
    """Checks everything, then runs what has no record.

    Raises:
        UserError: see :func:`transfer.preflight.check.check_before_trials` and :func:`transfer.commands.launch.launch`.
    """
    checked = check_before_trials(plans, args, lambda canaries: launch(canaries, args))
    return launch(checked, args, after_benchmark)
