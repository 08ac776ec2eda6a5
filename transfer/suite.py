"""Runs every benchmark of a suite from several initialisations: ``python -m transfer.suite demo --weights ...``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from common import cli
from common.errors import UserError, unknown_name
from configs.suites import SUITES
from transfer import benchmarks
from transfer.data_check import check_data
from transfer.devices import resolve_device
from transfer.plan import plan_trials, weights_ref
from transfer.seeds import chosen_seeds
from transfer.trial import WeightsRef
from transfer.trials import print_failures, run_trials

COMMAND = "tools/suite.sh"


@dataclass
class Args:
    """Runs all benchmarks of a suite, from each of the given weights, with the same seeds for all of them.

    Trials that have a record are skipped, so the command may be killed and started again at any time.

    example: tools/suite.sh demo --weights twist=runs/pretrain/demo/backbone.pth random=random:resnet18
    """

    suite: tyro.conf.Positional[str]
    """which suite: demo or paper"""
    weights: tuple[str, ...]
    """NAME=SOURCE for each initialisation; SOURCE is a checkpoint's path or random:ARCH"""
    trials: int | None = None
    """how many trials of each, with seeds 0, 1, ...; default: what the suite says"""
    seeds: tuple[str, ...] = ()
    """the trials' seeds in place of --trials: 0 3 7, or 5-9"""
    data: Path | None = None
    """the data set's folder, for a suite on one data set; default $DATA_ROOT/<name>"""
    out: Path = Path("runs")
    """where records go"""
    device: str = "auto"
    """auto, cpu or cuda"""
    jobs: int = 0
    """trials at a time at most; 0: as many as there are cores (CPU) or GPUs for them"""
    gpus_per_trial: int | None = None
    """GPUs of each trial; default: 1 for classification and clustering, all for detection and segmentation"""


def main(args: Args) -> int:
    if args.suite not in SUITES:
        raise unknown_name("suite", args.suite, SUITES)
    suite = SUITES[args.suite]
    chosen = [benchmarks.get(name) for name in suite.benchmarks]
    plans = plan_trials(
        runs=args.out,
        suite=suite.name,
        benchmarks=chosen,
        weights=[_named(text) for text in args.weights],
        seeds=chosen_seeds(args.trials, args.seeds, suite.num_trials),
        data=args.data,
        device=resolve_device(args.device),
    )
    for benchmark in chosen:
        check_data(benchmark, args.data)
    summary = run_trials(plans, jobs=args.jobs, num_gpus=args.gpus_per_trial)
    print_failures(summary, COMMAND)
    return summary.exit_code


def _named(text: str) -> WeightsRef:
    name, equals, source = text.partition("=")
    if not equals:
        raise UserError(f"--weights {text!r} is not NAME=SOURCE, e.g. twist=runs/pretrain/demo/backbone.pth")
    return weights_ref(source, name=name)


if __name__ == "__main__":
    cli.run(Args, main, prog=COMMAND)
