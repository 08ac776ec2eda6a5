"""Trials of detection without weights and data: what their configs become, and how they stand to their protocols."""

from __future__ import annotations

from pathlib import Path

from transfer import benchmarks
from transfer.tasks.detection.config import judged, protocol_config, protocol_difference, resolve_config
from transfer.trial import Trial, WeightsRef


def trial(name: str, *overrides: str, device: str = "cpu", rescale: int | None = None) -> Trial:
    return Trial(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="random", source="random:resnet50", sha256="0" * 64),
        seed=0,
        data=Path("data"),
        overrides=overrides,
        device=device,
        work_dir=Path("work"),
        weights_dir=Path("weights"),
        rescale=rescale,
    )


def differences(name: str, *overrides: str, device: str = "cpu") -> list[str]:
    cfg = resolve_config(trial(name, *overrides, device=device))
    return protocol_difference(cfg, protocol_config(benchmarks.get(name).config_path, device=device))


def standing(name: str, *overrides: str, rescale: int | None = None) -> str:
    cfg = resolve_config(trial(name, *overrides, device="cuda", rescale=rescale))
    return judged(cfg, protocol_config(benchmarks.get(name).config_path, device="cuda")).standing
