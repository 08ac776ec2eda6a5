"""Builds what stands beside records for the report's tests: ablations, pre-training runs, near-duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twist_common.files import sha256_text

COUNTED: dict[str, Any] = {
    "format": "twist-transfer near-duplicates",
    "version": 1,
    "dataset": "digits",
    "test_images": 1000,
    "training_images": 4000,
    "training_source": "imagefolder/train",
    "threshold": 4,
    "hash": "phash 64",
    "near_duplicates": 3,
    "exact": 1,
    "examples": [["val/0/1.png", "train/0/2.png", 0]],
}
FIGURES = {"sharpness": 2.1, "diversity": 4.09, "grad": 1.1e-4, "acc": 96.0, "nmi": 66.0}


def run(setting: str, seed: int, value: float | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "setting": setting,
        "overrides": [f"loss.{setting}=0"],
        "value": value,
        "seed": seed,
        "recipe_sha256": "ab" * 32,
        "folder": f"../runs/{setting}-{seed}",
        "figures": {**FIGURES, "acc": 96.0 + seed},
        "sentinel": [],
        "failure": None,
        **changes,
    }


def content(study: str = "terms", runs: list[dict[str, Any]] | None = None, **changes: Any) -> bytes:
    """An outcome as ``tools/ablate.sh`` writes it (its own test holds the two together)."""
    told: dict[str, Any] = {
        "format": "twist-transfer ablation",
        "version": 1,
        "study": study,
        "title": "Terms of the loss",
        "recipe": "demo",
        "overrides": [],
        "data": "data/digits/imagefolder",
        "num_train": 3823,
        "num_val": 1000,
        "swept": None,
        "columns": ["sharpness", "acc", "nmi"],
        "meanings": {"acc": "linear accuracy"},
        "untrained": {"acc": 86.1, "nmi": 12.0},
        "runs": runs or [run("both", seed) for seed in range(3)],
        **changes,
    }
    told["content_sha256"] = sha256_text(json.dumps(told, sort_keys=True, separators=(",", ":")))
    return json.dumps(told).encode()


def write_count(root: Path, **changes: Any) -> Path:
    path = root / "near-duplicates" / "digits.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(COUNTED | changes))
    return path


def write_run(folder: Path, losses: list[float], note: dict[str, Any] | None = None) -> Path:
    """A pre-training run that logged these losses, one a step."""
    folder.mkdir(parents=True)
    lines = [{"kind": "step", "step": step, "epoch": 0, "loss": loss} for step, loss in enumerate(losses, start=1)]
    lines.append({"kind": "epoch", "step": len(losses), "epoch": 0, "train_nmi": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if note is not None:
        (folder / "finished.json").write_text(json.dumps(note))
    return folder
