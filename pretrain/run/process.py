"""One process of a run, from joining the others to its exit code; imports torch only if there is something to train."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pretrain.recipe import Recipe
from pretrain.run import preemption
from pretrain.run.finished import BACKBONE_NAME, CHECKPOINT_NAME, is_finished
from twist_common import cli
from twist_common.printable import printable


def run_process(recipe: Recipe, *, data: Path, out: Path, device: str) -> int:
    """Trains to the end unless the run has already finished, and returns the exit code.

    Args:
        data, out: see :func:`pretrain.run.trainer.train`.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: see :func:`pretrain.run.trainer.train` and :func:`pretrain.distributed.process_group`.
    """
    is_first, is_alone = (os.environ.get(name, alone) == alone for name, alone in (("RANK", "0"), ("WORLD_SIZE", "1")))
    is_done = is_finished(out, recipe)
    if is_done and is_first:
        print(f"finished already: {out / BACKBONE_NAME} ({recipe.total_epochs} epochs of {recipe.name})")
    if is_done and is_alone:
        return cli.EXIT_DONE

    from pretrain import distributed
    from pretrain.run import agreement, trainer

    try:
        with distributed.process_group(device) as process:
            state = agreement.Fact(
                is_done, f"{'a' if is_done else 'no'} finished run in {out.resolve()}", agreement.SAME_OUT
            )
            agreement.agree([state], process)
            if not is_done:
                trainer.train(recipe, data=data, out=out, process=process)
    except trainer.TrainingError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return cli.EXIT_TRIAL_FAILED
    except distributed.LostProcessError as error:
        left = f"{out / CHECKPOINT_NAME} is left" if (out / CHECKPOINT_NAME).is_file() else "no checkpoint is left"
        print(f"error: {error}; {left}, start the same command again to resume", file=sys.stderr)
        return cli.EXIT_TRIAL_FAILED
    except preemption.Preempted as stop:
        if is_first:
            print(stop, file=sys.stderr)
        return preemption.EXIT_PREEMPTED
    return cli.EXIT_DONE
