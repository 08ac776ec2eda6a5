"""Classification trials as tests run them: in this process, without plan and record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.files import sha256_text
from transfer import benchmarks
from transfer.trial import Trial, WeightsRef


def make_trial(
    name: str,
    *overrides: str,
    data: Path,
    work_dir: Path,
    seed: int = 0,
    arch: str = "resnet18",
    labels: Path | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Trial:
    """A trial of a benchmark from a random initialisation, on CPU."""
    source = f"random:{arch}"
    work_dir.mkdir(parents=True, exist_ok=True)
    return Trial(
        benchmark=benchmarks.get(name),
        weights=WeightsRef(name="random", source=source, sha256=sha256_text(source)),
        seed=seed,
        data=data,
        overrides=overrides,
        device="cpu",
        work_dir=work_dir,
        weights_dir=work_dir,
        progress=progress,
        labels=labels,
    )
