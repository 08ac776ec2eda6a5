"""Builds trial records for the report's tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.benchmarks import BENCHMARKS
from transfer.record import Metric, TrialRecord, WeightsInfo
from twist_common.files import sha256_text

# A name that no writer may take for markup of its own.
NASTY = "<script>alert('x')</script> & $a_b$ 100% | `c` \\ #1 {~^}"
PROOF = {
    "target": "detectron2",
    "stages": {
        "stem": {"max_abs_difference": 0.0, "tolerance": 1e-5, "rms": 1.0},
        "res5": {"max_abs_difference": 2.5e-7, "tolerance": 1e-5, "rms": 1.0},
    },
}


def done(
    value: float | Mapping[str, float],
    *,
    seed: int = 0,
    weights: str = "twist",
    benchmark: str = "demo-seg",
    suite: str = "demo",
    **changes: Any,
) -> TrialRecord:
    """A finished trial; a single value is the mIoU. ``changes``: other fields of the record."""
    metrics = value if isinstance(value, Mapping) else {"miou": value}
    record = TrialRecord(
        suite=suite,
        benchmark=benchmark,
        protocol_version=BENCHMARKS[benchmark].protocol_version if benchmark in BENCHMARKS else 1,
        seed=seed,
        status="done",
        metrics={name: Metric(value=each) for name, each in metrics.items()},
        weights=WeightsInfo(
            name=weights,
            sha256=sha256_text(weights),
            source="random:resnet18" if weights.startswith("random") else f"/weights/{weights}.pth",
            source_format="random" if weights.startswith("random") else "twist-transfer",
            arch="resnet18",
            proof=PROOF,
        ),
        inputs_sha256=sha256_text(f"{suite} {benchmark} {weights} {seed}"),
        resolved_config=f"config of {benchmark}",
        config_sha256=sha256_text(f"config of {benchmark}"),
        git_commit="0123456789abcdef0123456789abcdef01234567",
        packages={"python": "3.11.7", "torch": "2.14.0"},
        device="cpu x86_64, 1 thread",
        wall_seconds=62.5 + seed / 1000,
        device_hours=0.017361,
        peak_bytes=3 << 29,
    )
    return dataclasses.replace(record, **changes).sealed()


def failed(*, seed: int, error: str = "FloatingPointError: loss is nan", **names: Any) -> TrialRecord:
    """A trial that raised before anything was resolved, as the trial runner records it."""
    record = done(0.0, seed=seed, **names)
    weights = dataclasses.replace(record.weights, arch="unknown", source_format="unknown", proof=None)
    return dataclasses.replace(
        record, status="failed", error=error, metrics={}, weights=weights, config_sha256="", resolved_config=""
    ).sealed()


def trials(values: Sequence[float | Mapping[str, float]], **names: Any) -> list[TrialRecord]:
    """Finished trials of seeds 0, 1, ...."""
    return [done(value, seed=seed, **names) for seed, value in enumerate(values)]


def save(records: Sequence[TrialRecord], root: Path) -> Path:
    """Writes the records where the trial runner puts them."""
    for record in records:
        record.save(folder_of(record, root) / "record.json")
    return root


def folder_of(record: TrialRecord, root: Path) -> Path:
    """Where the trial runner puts a record and what belongs to it."""
    weights = f"{record.weights.name}-{record.weights.sha256[:8]}".replace("/", "_")
    return root / record.suite / record.benchmark / weights / f"trial-{record.seed}"


def save_picture(record: TrialRecord, root: Path, name: str, *, grey: int = 128) -> bytes:
    """Draws a small PNG or JPEG picture beside a record; returns the file's content."""
    from PIL import Image

    path = folder_of(record, root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (48, 24), grey).save(path)
    return path.read_bytes()
