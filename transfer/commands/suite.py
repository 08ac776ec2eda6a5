"""Runs every benchmark of a suite from several initialisations: ``tools/suite.sh demo twist.pth ...``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from transfer.benchmarks import BENCHMARKS, GROUPS, of_suite
from transfer.commands.launch import launch_device
from transfer.commands.reading import ReadingArgs, read_reading
from transfer.commands.report import write_report
from transfer.commands.seeds import chosen_seeds
from transfer.commands.trial_command import RunArgs, plan_or_run
from transfer.rows import Benchmark
from transfer.trial import WeightsRef
from transfer.trials.plan import TrialPlan, data_root, plan_trials, weights_ref
from twist_common import cli
from twist_common.errors import UserError, unknown_name
from twist_common.printable import printable

COMMAND = "tools/suite.sh"
# Benchmarks that lists of images define, and the lists' published names.
LISTED = {row.name: row.labels_list for row in BENCHMARKS.values() if row.labels_list}


@dataclass
class Args(RunArgs):
    """Runs all benchmarks of a suite from each of the given weights, with the same seeds for all of them.

    suites:
      paper  everything in the paper's tables 1 to 6, five trials: detection and segmentation on VOC, COCO and
             Cityscapes, ImageNet linear, with 1, 10 and 100 % of the labels and unsupervised, the eleven data sets.
             Weeks on one GPU: look at --plan first, and take a part with --only or --skip
      demo   every benchmark on the embedded digits, five trials, CPU; without CKPT from what tools/pretrain.sh demo
             wrote to OUT/pretrain/demo, as "twist", and from random:resnet18, as "random"

    All data and all weights are checked before the first trial. Trials that have a record are skipped, so the command
    may be killed and started again at any time, and several may run at once on one OUT.

    examples:
      tools/suite.sh demo
      tools/suite.sh paper twist.pth moco_v2=moco_v2_800ep.pth.tar random:resnet50
      tools/suite.sh paper twist.pth --only voc seg-voc linear11 --seeds 5-9
      tools/suite.sh paper dino.pth --read "dino=--entry net --prefix enc. --mean 0.5 0.5 0.5 --std 0.5 0.5 0.5"
      tools/suite.sh paper twist.pth --labels imagenet-1pct=1percent.txt imagenet-10pct=10percent.txt
    """

    suite: Annotated[Positional[str], arg(metavar="SUITE")]
    """which suite: demo or paper"""
    #: what to start from: paths of checkpoints or random:ARCH; NAME is what reports call it, by default the file's;
    #: twist@run0=a.pth twist@run1=b.pth are two pre-training runs of one method
    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME=]CKPT ...")] = ()
    weights: Annotated[tuple[str, ...], arg(metavar="[NAME=]CKPT ...")] = ()
    """more of them, as an option"""
    read: Annotated[tuple[str, ...], arg(metavar="NAME=OPTIONS ...")] = ()
    """how to read the weights of this name, with the options of tools/convert.sh, in quotes"""
    only: Annotated[tuple[str, ...], arg(metavar="BENCH ...")] = ()
    """only these of the suite's benchmarks; linear11 and finetune11 stand for eleven"""
    skip: Annotated[tuple[str, ...], arg(metavar="BENCH ...")] = ()
    """all of the suite's benchmarks but these"""
    labels: Annotated[tuple[str, ...], arg(metavar="BENCH=FILE ...")] = ()
    """the lists of labelled images of imagenet-1pct and imagenet-10pct, see tools/transfer_cls.sh --help"""
    report: bool = False
    """after each benchmark, write the report of what is there and print its path"""


def main(args: Args) -> int:
    said: list[str] = []

    def report() -> str:
        said.append(_report_so_far(args))
        return said[-1]

    code = plan_or_run(suite_plans(args), args, COMMAND, report if args.report else None)
    if args.report and not args.planning.plan and not said:  # all trials were there already, but perhaps no report
        print(printable(report()))
    return code


def suite_plans(args: Args) -> list[TrialPlan]:
    """The trials that the command line asks for; with ``--plan`` also of checkpoints and data that do not exist.

    Raises:
        UserError: bad use, or a checkpoint or a data set does not exist.
    """
    must_exist = not args.planning.plan
    chosen = _chosen_benchmarks(args)
    seeds = chosen_seeds(args.trials, args.seeds, max(benchmark.num_trials for benchmark in chosen))
    weights = _chosen_weights(args, must_exist=must_exist)
    labels: dict[str, Path] = {}  # benchmark to its list of labelled images
    for text in args.labels:
        name, equals, file = text.partition("=")
        if not equals or name not in LISTED:
            known = ", ".join(LISTED)
            raise UserError(
                f"--labels {text!r} is not BENCH=FILE with a BENCH of {known}, e.g. imagenet-1pct=1percent.txt"
            )
        labels[name] = Path(file)
    if must_exist:
        _check_inputs(chosen, args.data, labels)
    device = launch_device(args, chosen)
    return [
        plan
        for benchmark in chosen
        for plan in plan_trials(
            runs=args.out,
            suite=args.suite,
            benchmarks=[benchmark],
            weights=weights,
            seeds=seeds,
            data=args.data,
            device=device,
            must_exist=must_exist,
            labels=labels.get(benchmark.name),
        )
    ]


def _report_so_far(args: Args) -> str:
    folders = [args.out / args.suite, args.out / "pretrain"]
    try:
        _, page = write_report([folder for folder in folders if folder.is_dir()])
    except UserError as error:
        return f"no report yet: {error}"
    return f"report so far: {page}"


def _chosen_benchmarks(args: Args) -> list[Benchmark]:
    rows = of_suite(args.suite)
    names = [row.name for row in rows]
    only, skip = (
        [member for name in given for member in GROUPS.get(name, (name,))] for given in (args.only, args.skip)
    )
    for name in (*only, *skip):
        if name not in names:
            raise unknown_name(f"benchmark of the suite {args.suite}", name, (*names, *GROUPS))
    chosen = [row for row in rows if row.name in (only or names) and row.name not in skip]
    if not chosen:
        raise UserError(f"--only and --skip leave no benchmark of the suite {args.suite}: name fewer after --skip")
    return chosen


def _chosen_weights(args: Args, *, must_exist: bool) -> list[WeightsRef]:
    texts = [*args.checkpoints, *args.weights]
    if not texts:
        if args.suite != "demo":
            example = f"{COMMAND} {args.suite} twist.pth random:resnet50"
            raise UserError(f"the suite {args.suite} needs checkpoints, e.g. {example}")
        checkpoint = args.out / "pretrain" / "demo" / "backbone.pth"
        if must_exist and not checkpoint.is_file():
            raise UserError(
                f"no checkpoint is given and {checkpoint} does not exist: run tools/pretrain.sh demo, or name "
                f"checkpoints, e.g. {COMMAND} demo random:resnet18"
            )
        texts = [f"twist={checkpoint}", "random=random:resnet18"]
    readings: dict[str, ReadingArgs] = {}
    for text in args.read:
        name, equals, options = text.partition("=")
        if not equals:
            raise UserError(f"--read {text!r} is not NAME=OPTIONS, e.g. twist='--mean 0.5 0.5 0.5 --std 0.5 0.5 0.5'")
        readings[name] = read_reading(options, f"--read {name}")
    refs: dict[str, WeightsRef] = {}
    for text in texts:
        ref = named_weights(text, readings, must_exist=must_exist)
        if other := refs.get(ref.name):
            raise UserError(
                f"two initialisations are called {ref.name!r}, {other.source} and {ref.source}: "
                "tell them apart by name, e.g. a=FILE b=FILE"
            )
        refs[ref.name] = ref
    if unknown := [name for name in readings if name not in refs]:
        raise unknown_name("weights of --read", unknown[0], refs)
    return list(refs.values())


def named_weights(
    text: str, readings: Mapping[str, ReadingArgs] | None = None, *, must_exist: bool = True
) -> WeightsRef:
    """``"NAME=SOURCE"`` or ``"SOURCE"``; a file whose path has an ``=`` in it may be given as it is.

    Args:
        readings: name to what the user says of these weights.

    Raises:
        UserError: see :func:`~transfer.trials.plan.weights_ref`.
    """
    match = re.fullmatch(r"([^/=]+)=(.+)", text)
    name, source = (None, text) if match is None or Path(text).is_file() else (match[1], match[2])
    ref = weights_ref(source, name=name, must_exist=must_exist)
    args = (readings or {}).get(ref.name)
    if args is None:
        return dataclasses.replace(ref, which=ReadingArgs().taken(source))
    return weights_ref(
        source,
        name=ref.name,
        which=args.taken(source),
        arch=args.arch,
        reading=args.reading(),
        must_exist=must_exist,
    )


def _check_inputs(chosen: Sequence[Benchmark], data: Path | None, labels: Mapping[str, Path]) -> None:
    """Names all data sets that are missing in one sentence, or all lists of labelled images.

    Raises:
        UserError: at least one is.
    """
    problems: dict[str, str] = {}  # benchmark to what is wrong with its data
    folders: dict[str, None] = {}
    for benchmark in chosen:
        try:
            data_root(benchmark.dataset, data)
        except UserError as error:
            problems[benchmark.name] = str(error)
            folders[str(data_root(benchmark.dataset, data, must_exist=False))] = None
    if problems:
        what = next(iter(problems.values()))
        if len(folders) > 1:
            what = f"no data in {', '.join(folders)}: set DATA_ROOT to where they are (docs/data.md says how)"
        whole = {row: group for group, members in GROUPS.items() if set(members) <= set(problems) for row in members}
        skip = " ".join(dict.fromkeys(whole.get(name, name) for name in problems))
        raise UserError(what if len(problems) == len(chosen) else f"{what}; or leave them out with --skip {skip}")
    unlisted = [row.name for row in chosen if row.labels_list and row.name not in labels]
    if unlisted:
        asked = " ".join(f"{name}={LISTED[name]}" for name in unlisted)
        raise UserError(
            f"{' and '.join(unlisted)} are defined by SimCLR's lists, in the folder imagenet_subsets of "
            f"github.com/google-research/simclr: give --labels {asked}, or leave them out with "
            f"--skip {' '.join(unlisted)}"
        )


def run() -> None:
    cli.run(Args, main, prog=COMMAND)


if __name__ == "__main__":
    run()
