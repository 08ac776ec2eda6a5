"""What each process of a run does, from joining the others to its exit code. Imports torch only where it trains."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common import cli
from pretrain.recipe import Recipe
from pretrain.run import preemption
from pretrain.run.finished import BACKBONE_NAME, is_finished


def run_process(recipe: Recipe, *, data: Path, out: Path, device: str) -> int:
    """Trains to the end unless the run is finished already, and returns the exit code.

    Args:
        data, out: see :func:`pretrain.run.trainer.train`.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: see :func:`pretrain.run.trainer.train`; or CUDA was asked for and there is none.
    """
    if is_finished(out, recipe):
        if os.environ.get("RANK", "0") == "0":
            print(f"finished already: {out / BACKBONE_NAME} ({recipe.total_epochs} epochs of {recipe.name})")
        return cli.EXIT_DONE

    from pretrain import distributed
    from pretrain.run import trainer

    try:
        with distributed.process_group(device) as process:
            trainer.train(recipe, data=data, out=out, process=process)
    except trainer.TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.EXIT_TRIAL_FAILED
    except preemption.Preempted as stop:
        print(stop, file=sys.stderr)
        return preemption.EXIT_PREEMPTED
    return cli.EXIT_DONE
