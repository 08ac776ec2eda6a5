"""What came of a run, from the files that it left: its last statistics, its course, and what the sentinel says."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain.recipe import Recipe
from pretrain.watch.sentinel import CollapseSentinel
from transfer.ablation.evaluate import Evaluation
from transfer.ablation.metrics import METRICS
from transfer.ablation.runs import Run

METRICS_FILE = "metrics.jsonl"
Line = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """A run and its figures.

    Attributes:
        figures: by the keys of :data:`transfer.ablation.metrics.METRICS`; a run without a result has none.
        lines: what it logged.
        warnings: the sentinel's sentences, each with the step at which it was due.
        failure: why there is no result, or None.
    """

    run: Run
    figures: dict[str, float]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    failure: str | None = None


def collect(run: Run, evaluation: Evaluation | None, failure: str | None = None) -> Outcome:
    """Reads what the run left in its folder.

    Args:
        evaluation: None for a run without a result.
        failure: why there is none.
    """
    lines = read_lines(run.out / METRICS_FILE)
    figures: dict[str, float] = {}
    if evaluation is not None:
        figures = {**last_figures(lines), "acc": evaluation.acc, "nmi": evaluation.nmi}
    shown = {name: figures[metric.source] for name, metric in METRICS.items() if metric.source in figures}
    return Outcome(run, shown, tuple(lines), sentinel_warnings(lines, run.recipe), failure)


def read_lines(path: Path) -> list[Line]:
    """The lines of a ``metrics.jsonl``; none if there is no such file."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]  # a kill may have cut the last line
    return [json.loads(line) for line in whole.splitlines()]


def last_figures(lines: Sequence[Line]) -> dict[str, float]:
    """Each statistic's mean over the logged steps of the last epoch with any, and the last epoch's own statistics."""
    steps = [line for line in lines if line["kind"] == "step"]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    last = [line for line in steps if line["epoch"] == steps[-1]["epoch"]]
    means = {name: statistics.fmean(line[name] for line in last) for name in last[-1] if name != "kind"}
    return {**means, **{name: value for name, value in epochs[-1].items() if name != "kind"}}


def sentinel_warnings(lines: Sequence[Line], recipe: Recipe) -> tuple[str, ...]:
    """What the sentinel says of a run that logged these lines."""
    first_epoch = next((line["step"] for line in lines if line["kind"] == "epoch"), 0)
    num_images = first_epoch * recipe.data.batch_size
    sentinel = CollapseSentinel(recipe.model.num_classes, eps=recipe.loss.eps, num_images=num_images)
    warnings = []
    for line in lines:
        warning = sentinel.observe_step(line) if line["kind"] == "step" else sentinel.observe_epoch(line)
        if warning:
            warnings.append(f"step {line['step']}: {warning}")
    return tuple(warnings)
