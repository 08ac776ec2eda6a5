"""``ablation.json``: what came of an ablation, for programs; ``tools/report.sh`` shows it beside transfer results.

Strict JSON, with a hash over all of it; accuracy and NMI in percent, everything else as it was logged.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from common.files import sha256_text
from pretrain.recipe import recipe_sha256
from transfer.ablation.metrics import METRICS
from transfer.ablation.outcome import Outcome
from transfer.ablation.report import Report

OUTCOME_NAME = "ablation.json"
FORMAT = "twist-transfer ablation"
VERSION = 1


def outcome_text(report: Report, folder: Path) -> str:
    """The file's content.

    Args:
        folder: where it will stand; the runs' folders are told relative to it.
    """
    study = report.study
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "study": study.name,
        "title": study.title,
        "recipe": report.recipe,
        "overrides": list(report.overrides),
        "data": str(report.data),
        "num_train": report.untrained.num_train,
        "num_val": report.untrained.num_val,
        "swept": study.swept,
        "columns": list(study.columns),
        "meanings": {name: METRICS[name].meaning for name in study.columns},
        "untrained": {"acc": 100 * report.untrained.acc, "nmi": 100 * report.untrained.nmi},
        "runs": [_run(outcome, folder) for outcome in report.outcomes],
    }
    content["content_sha256"] = sha256_text(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False))
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _run(outcome: Outcome, folder: Path) -> dict[str, Any]:
    run = outcome.run
    broken = [name for name, value in outcome.figures.items() if not math.isfinite(value)]
    failure = outcome.failure or (f"not a number: {', '.join(broken)}" if broken else None)
    return {
        "setting": run.arm.label,
        "overrides": list(run.arm.overrides),
        "value": run.arm.value,
        "seed": run.seed,
        "recipe_sha256": recipe_sha256(run.recipe),
        "folder": Path(os.path.relpath(run.out, folder)).as_posix(),
        "figures": {} if failure else {name: METRICS[name].scale * value for name, value in outcome.figures.items()},
        "sentinel": list(outcome.warnings),
        "failure": failure,
    }
