"""``ablation.json``: what came of an ablation, which ``tools/report.sh`` shows beside transfer results.

Strict JSON, with a hash over all of it; accuracy and NMI in percent, everything else as it was logged.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretrain.recipe import Recipe, recipe_sha256
from pretrain.watch.monitor import METRICS_NAME
from pretrain.watch.sentinel import CollapseSentinel
from transfer.ablation.evaluate import Evaluation
from transfer.ablation.runs import PlannedRun
from twist_common.files import sha256_text
from twist_configs.pretrain.ablations import Study

OUTCOME_NAME = "ablation.json"
FORMAT = "twist-transfer ablation"
VERSION = 1
Line = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure of a run.

    Attributes:
        source: the statistic of ``metrics.jsonl`` (mean of the last epoch's logged steps, or the last epoch's own),
            or a field of the evaluation.
        meaning: for the report's legend.
        scale: what it is multiplied by, so that shares become percent.
    """

    source: str
    meaning: str
    scale: float = 1.0


FIGURES = {
    "loss": Figure("loss", "TWIST's loss with the run's own weights of the terms"),
    "consistency": Figure("consistency", "KL divergence between views"),
    "sharpness": Figure("sharpness", "mean entropy of an image's class distribution, in nats"),
    "diversity": Figure("diversity", "entropy of the mean class distribution, in nats"),
    "grad": Figure("grad_before_nbs", "mean magnitude of the gradient before the last norm"),
    "std_c_before": Figure("std_c_before_nbs", "mean standard deviation of a class over images, before NBS"),
    "std_r_before": Figure("std_r_before_nbs", "mean standard deviation of an image over classes, before NBS"),
    "std_c_after": Figure("std_c_after_nbs", "mean standard deviation of a class over images, at the softmax"),
    "std_r_after": Figure("std_r_after_nbs", "mean standard deviation of an image over classes, at the softmax"),
    "used_classes": Figure("used_classes", "classes that were some image's argmax in the last epoch"),
    "acc": Figure("acc", "linear accuracy of the frozen features on val, in percent", 100.0),
    "nmi": Figure("nmi", "NMI of the head's argmax with the labels of val, in percent", 100.0),
}


def run_content(run: PlannedRun, evaluation: Evaluation | None, failure: str | None, folder: Path) -> dict[str, Any]:
    """What came of a run, from the files in its folder.

    Args:
        evaluation: None for a run without a result.
        failure: why there is none.
        folder: where the outcome will be; the run's folder is given relative to it.
    """
    lines = _read_lines(run.out / METRICS_NAME)
    found = {} if evaluation is None else {**last_figures(lines), "acc": evaluation.acc, "nmi": evaluation.nmi}
    figures = {name: each.scale * found[each.source] for name, each in FIGURES.items() if each.source in found}
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    failure = failure or (f"not a number: {', '.join(broken)}" if broken else None)
    return {
        "setting": run.arm.label,
        "overrides": list(run.arm.overrides),
        "value": run.arm.value,
        "seed": run.seed,
        "recipe_sha256": recipe_sha256(run.recipe),
        "folder": Path(os.path.relpath(run.out, folder)).as_posix(),
        "figures": {} if failure else figures,
        "sentinel": sentinel_warnings(lines, run.recipe),
        "failure": failure,
    }


def outcome_text(
    study: Study, recipe: str, overrides: Sequence[str], data: Path, untrained: Evaluation, runs: list[dict[str, Any]]
) -> str:
    """The file's content.

    Args:
        recipe: its name.
        overrides: the user's.
        untrained: of the network as it is initialised.
        runs: see :func:`run_content`, in the order of the table.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "study": study.name,
        "title": study.title,
        "recipe": recipe,
        "overrides": list(overrides),
        "data": str(data),
        "num_train": untrained.num_train,
        "num_val": untrained.num_val,
        "swept": study.swept,
        "columns": list(study.columns),
        "meanings": {name: FIGURES[name].meaning for name in study.columns},
        "untrained": {"acc": 100 * untrained.acc, "nmi": 100 * untrained.nmi},
        "runs": runs,
    }
    content["content_sha256"] = sha256_text(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False))
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _read_lines(path: Path) -> list[Line]:
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


def sentinel_warnings(lines: Sequence[Line], recipe: Recipe) -> list[str]:
    """What the sentinel says of a run that logged these lines, each warning with its step."""
    first_epoch = next((line["step"] for line in lines if line["kind"] == "epoch"), 0)
    num_images = first_epoch * recipe.data.batch_size
    sentinel = CollapseSentinel(recipe.model.num_classes, eps=recipe.loss.eps, num_images=num_images)
    warnings = []
    for line in lines:
        warning = sentinel.observe_step(line) if line["kind"] == "step" else sentinel.observe_epoch(line)
        if warning:
            warnings.append(f"step {line['step']}: {warning}")
    return warnings
