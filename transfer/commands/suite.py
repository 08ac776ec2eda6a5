"""Runs every benchmark of a suite from several initialisations: ``tools/suite.sh demo twist.pth ...``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from common import cli
from common.errors import UserError, unknown_name
from transfer import benchmarks
from transfer.benchmarks import GROUPS
from transfer.commands.launch import launch_device
from transfer.commands.seeds import chosen_seeds
from transfer.commands.trial_command import RunArgs, plan_or_run
from transfer.rows import Benchmark
from transfer.trial import WeightsRef
from transfer.trials.plan import TrialPlan, data_root, plan_trials, weights_ref

COMMAND = "tools/suite.sh"
# Benchmarks that lists of images define, and the lists' published names.
LISTED = {row.name: row.labels_list for row in benchmarks.BENCHMARKS.values() if row.labels_list}


@dataclass
class Args(RunArgs):
    """Runs all benchmarks of a suite from each of the given weights, with the same seeds for all of them.

    suites:
      paper  all that the paper's tables 1 to 6 hold, five trials: detection and segmentation on VOC, COCO and
             Cityscapes, ImageNet linear, with 1, 10 and 100 % of the labels and unsupervised, the eleven data sets.
             Weeks on one GPU: look at --plan first, and take a part with --only or --skip
      demo   every benchmark on the embedded digits, five trials, CPU; without CKPT from what tools/pretrain.sh demo
             left in OUT/pretrain/demo, as "twist", and from random:resnet18, as "random"

    All data and all weights are checked before the first trial. Trials that have a record are skipped, so the command
    may be killed and started again at any time, and several may run at once on one OUT.

    examples:
      tools/suite.sh demo
      tools/suite.sh paper twist.pth moco_v2=moco_v2_800ep.pth.tar random:resnet50
      tools/suite.sh paper twist.pth --only voc seg-voc linear11 --seeds 5-9
      tools/suite.sh paper twist.pth --labels imagenet-1pct=1percent.txt imagenet-10pct=10percent.txt
    """

    suite: Annotated[Positional[str], arg(metavar="SUITE")]
    """which suite: demo or paper"""
    checkpoints: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME=]CKPT ...")] = ()
    """what to start from: checkpoints' paths or random:ARCH; NAME is what reports call it, by default the file's"""
    weights: Annotated[tuple[str, ...], arg(metavar="[NAME=]CKPT ...")] = ()
    """more of them, as an option"""
    only: Annotated[tuple[str, ...], arg(metavar="BENCH ...")] = ()
    """of the suite's benchmarks only these; linear11 and finetune11 stand for eleven"""
    skip: Annotated[tuple[str, ...], arg(metavar="BENCH ...")] = ()
    """of the suite's benchmarks all but these"""
    labels: Annotated[tuple[str, ...], arg(metavar="BENCH=FILE ...")] = ()
    """the lists of labelled images of imagenet-1pct and imagenet-10pct, see tools/transfer_cls.sh --help"""


def main(args: Args) -> int:
    return plan_or_run(suite_plans(args), args, COMMAND)


def suite_plans(args: Args) -> list[TrialPlan]:
    """The trials that the command line asks for; with ``--plan`` also of checkpoints and data that are not there.

    Raises:
        UserError: bad use, a checkpoint or a data set is not there.
    """
    chosen = _chosen_benchmarks(args)
    seeds = chosen_seeds(args.trials, args.seeds, max(benchmark.num_trials for benchmark in chosen))
    weights = _chosen_weights(args)
    labels = _chosen_labels(args)
    must_exist = not args.planning.plan
    if must_exist:
        _check_folders(chosen, args.data)
        _check_labels(chosen, labels)
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


def _chosen_benchmarks(args: Args) -> list[Benchmark]:
    rows = benchmarks.of_suite(args.suite)
    names = [row.name for row in rows]
    only, skip = _members(args.suite, names, args.only), _members(args.suite, names, args.skip)
    chosen = [row for row in rows if row.name in (only or names) and row.name not in skip]
    if not chosen:
        raise UserError(f"--only and --skip leave no benchmark of the suite {args.suite}: name fewer after --skip")
    return chosen


def _members(suite: str, known: Sequence[str], given: Sequence[str]) -> list[str]:
    """The benchmarks that are named, those of a group one by one."""
    found = [member for name in given for member in GROUPS.get(name, (name,))]
    for name in found:
        if name not in known:
            raise unknown_name(f"benchmark of the suite {suite}", name, (*known, *GROUPS))
    return found


def _chosen_labels(args: Args) -> dict[str, Path]:
    """Benchmark to its list of labelled images."""
    labels: dict[str, Path] = {}
    for text in args.labels:
        name, equals, file = text.partition("=")
        if not equals or name not in LISTED:
            raise UserError(
                f"--labels {text!r} is not BENCH=FILE with a BENCH of {', '.join(LISTED)}, "
                "e.g. imagenet-1pct=1percent.txt"
            )
        labels[name] = Path(file)
    return labels


def _check_labels(chosen: Sequence[Benchmark], labels: Mapping[str, Path]) -> None:
    """All lists of labelled images that are missing, in one sentence.

    Raises:
        UserError: at least one is.
    """
    missing = [row.name for row in chosen if row.labels_list and row.name not in labels]
    if missing:
        asked = " ".join(f"{name}={LISTED[name]}" for name in missing)
        raise UserError(
            f"{' and '.join(missing)} are defined by SimCLR's lists, in the folder imagenet_subsets of "
            f"github.com/google-research/simclr: give --labels {asked}, or leave them out with "
            f"--skip {' '.join(missing)}"
        )


def _check_folders(chosen: Sequence[Benchmark], data: Path | None) -> None:
    """All data sets that are missing, in one sentence.

    Raises:
        UserError: at least one is.
    """
    missing: dict[str, str] = {}  # benchmark to what is wrong with its data
    folders: dict[str, None] = {}
    for benchmark in chosen:
        try:
            data_root(benchmark.dataset, data)
        except UserError as error:
            missing[benchmark.name] = str(error)
            folders[str(data_root(benchmark.dataset, data, must_exist=False))] = None
    if not missing:
        return
    if len(folders) == 1:
        what = next(iter(missing.values()))
    else:
        what = f"no data in {', '.join(folders)}: set DATA_ROOT to where they are (docs/data.md says how)"
    skip = " ".join(_grouped(list(missing)))
    raise UserError(what if len(missing) == len(chosen) else f"{what}; or leave them out with --skip {skip}")


def _grouped(names: Sequence[str]) -> list[str]:
    """The names, with those of a whole group as the group's."""
    whole = {member: group for group, members in GROUPS.items() if set(members) <= set(names) for member in members}
    return list(dict.fromkeys(whole.get(name, name) for name in names))


def _chosen_weights(args: Args) -> list[WeightsRef]:
    must_exist = not args.planning.plan
    texts = [*args.checkpoints, *args.weights] or _default_weights(args.suite, args.out, must_exist=must_exist)
    refs = [named_weights(text, must_exist=must_exist) for text in texts]
    for place, ref in enumerate(refs):
        for other in refs[:place]:
            if ref.name == other.name:
                raise UserError(
                    f"two initialisations are called {ref.name!r}, {other.source} and {ref.source}: "
                    "name them apart, e.g. a=FILE b=FILE"
                )
    return refs


def _default_weights(suite: str, out: Path, *, must_exist: bool) -> list[str]:
    if suite != "demo":
        raise UserError(f"the suite {suite} needs checkpoints, e.g. {COMMAND} {suite} twist.pth random:resnet50")
    checkpoint = out / "pretrain" / "demo" / "backbone.pth"
    if must_exist and not checkpoint.is_file():
        raise UserError(
            f"no checkpoint is given and {checkpoint} is not there: run tools/pretrain.sh demo, or name checkpoints, "
            f"e.g. {COMMAND} demo random:resnet18"
        )
    return [f"twist={checkpoint}", "random=random:resnet18"]


def named_weights(text: str, *, must_exist: bool = True) -> WeightsRef:
    """``"NAME=SOURCE"`` or ``"SOURCE"``; a file whose path has an ``=`` in it may be given as it is.

    Raises:
        UserError: see :func:`~transfer.trials.plan.weights_ref`.
    """
    match = re.fullmatch(r"([^/=]+)=(.+)", text)
    if match is None or Path(text).is_file():
        return weights_ref(text, must_exist=must_exist)
    return weights_ref(match[2], name=match[1], must_exist=must_exist)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
