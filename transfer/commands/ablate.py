"""Ablations: ``python -m transfer.commands.ablate STUDY [--data DIR] [--recipe demo] [--out DIR] [key=value ...]``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pretrain.run.preemption import EXIT_PREEMPTED, Preempted
from pretrain.train import default_data
from transfer.ablation import runs
from transfer.commands.report import summary_text, write_report
from twist_common import cli
from twist_common.errors import UserError
from twist_common.files import write_text
from twist_common.printable import printable
from twist_configs.pretrain import ablations


@dataclass(frozen=True)
class Args:
    """Pre-trains with one thing changed at a time and sets the results side by side, as the paper's ablations do.

    studies:
      nbs        with and without the norm before the softmax (table 7)
      terms      sharpness and diversity on and off (table 8), with what the collapse sentinel says
      classes    number of classes (figure 4)
      epochs     length of the training (figure 4(b))
      multicrop  number of local crops

    Each run is an ordinary pre-training run in a folder below OUT/runs. Killed and started again, the command resumes;
    finished runs are not repeated, nor in other studies. Writes OUT/STUDY/ablation.json, and beside it the report that
    tools/report.sh makes of it, in the form of the paper's tables and figures.

    example: tools/ablate.sh terms --data data/digits/imagefolder --seeds 3
    """

    study: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="STUDY", help=f"One of {', '.join(ablations.STUDIES)}.")
    ]
    overrides: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE ...")] = ()
    """Settings of the recipe to change in all runs, e.g. epochs=3 data.batch_size=512."""
    recipe: str = "demo"
    """The recipe to start from."""
    data: Path | None = None
    """Folder with train/<class>/<image> and val/<class>/<image>; default $DATA_ROOT/<name>."""
    out: Path | None = None
    """Where everything goes; default runs/ablations/<recipe>."""
    seeds: int = 1
    """Runs of each setting."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Auto takes the GPUs if there are any."""


def main(args: Args) -> int:
    """Plans the runs, carries out those that are not finished, and writes the outcome with its report."""
    if args.seeds < 1:
        raise UserError(f"--seeds is {args.seeds}: give a whole number from 1 up")
    study = ablations.get(args.study)
    out = args.out or Path("runs/ablations") / args.recipe
    planned = runs.plan(study, args.recipe, args.overrides, args.seeds, out)
    base = runs.base_recipe(args.recipe, args.overrides)
    data = args.data or default_data(base)

    from transfer.ablation.evaluate import Evaluator  # torch and scikit-learn, which --help does without
    from transfer.ablation.outcome import OUTCOME_NAME, outcome_text, run_content

    evaluator, folder = Evaluator(data, args.device), out / study.name
    contents, failed = [], False
    for number, run in enumerate(planned, start=1):
        print(f"[{number}/{len(planned)}] {run.arm.label}, seed {run.seed}: {run.out}", file=sys.stderr, flush=True)
        try:
            failure = runs.pretrain(run, data, args.device)
        except Preempted as stop:
            print(stop, file=sys.stderr)
            return EXIT_PREEMPTED
        contents.append(run_content(run, None if failure else evaluator.finished(run.out), failure, folder))
        failed |= failure is not None
    untrained = evaluator.untrained(base, out / "runs")
    write_text(folder / OUTCOME_NAME, outcome_text(study, args.recipe, args.overrides, data, untrained, contents))
    ablation, page = write_report([folder])
    print(printable(summary_text(ablation)))
    print(page)
    return cli.EXIT_TRIAL_FAILED if failed else cli.EXIT_DONE


def run() -> None:
    cli.run(Args, main, prog="tools/ablate.sh")


if __name__ == "__main__":
    run()
