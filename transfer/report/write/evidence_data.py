"""What ``report.json`` says of the evidence beside the records, in containers that JSON has."""

from __future__ import annotations

import dataclasses
from typing import Any

from transfer.report.read.ablation_files import Ablation, summary, values
from transfer.report.read.evidence import Evidence
from transfer.report.read.near_duplicates import NearDuplicates
from transfer.report.read.pretraining import Pretraining


def evidence_content(evidence: Evidence) -> dict[str, Any]:
    """``near_duplicates``, ``ablations`` and ``pretraining``."""
    return {
        "near_duplicates": [_near_duplicates(each) for each in evidence.near_duplicates],
        "ablations": [_ablation(each) for each in evidence.ablations],
        "pretraining": [_pretraining(each) for each in evidence.pretraining],
    }


def _near_duplicates(counted: NearDuplicates) -> dict[str, Any]:
    return {
        field.name: getattr(counted, field.name) for field in dataclasses.fields(counted) if field.name != "content"
    }


def _ablation(ablation: Ablation) -> dict[str, Any]:
    names = ("study", "title", "recipe", "overrides", "data", "num_train", "num_val", "swept", "untrained")
    return {name: getattr(ablation, name) for name in names} | {
        "settings": [
            {
                "setting": setting,
                "value": runs[0].value,
                "overrides": runs[0].overrides,
                "figures": {
                    name: dataclasses.asdict(summary(runs, name)) | {"values": values(runs, name)}
                    for name in dict.fromkeys(name for run in runs for name in run.figures)
                },
                "failed": {run.seed: run.failure for run in runs if run.failure},
                "sentinel": {run.seed: run.sentinel for run in runs if run.sentinel},
            }
            for setting, runs in ablation.by_setting().items()
        ]
    }


def _pretraining(run: Pretraining) -> dict[str, Any]:
    last = {name: points[-1][1] for name, points in run.curves.items()}
    return {"label": run.label, "facts": run.facts, "last_step": run.last_step, "last": last}
