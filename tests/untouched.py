"""Proof that trials leave the test images alone until the final scoring, by the interpreter's own audit events.

A trial runs in a process of its own whose audit hook notes every file that is opened and every folder that is listed,
and the opening of the ledger between them. Images must be read in that process: on CPU they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEDGER = "the ledger is opened: "


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial to watch. ``source`` is a checkpoint or ``random:<arch>``."""

    benchmark: str
    data: str
    work_dir: str
    source: str = "random:resnet18"
    seed: int = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a trial did.

    Attributes:
        touched: paths below the data root that were opened or listed, in order, and :data:`LEDGER` with the split.
        outcome: fields of :class:`transfer.trial.Outcome`; ``metrics`` are plain numbers.
    """

    touched: list[str]
    outcome: dict[str, Any]


def watch(trials: Sequence[Asked]) -> list[Watched]:
    """Runs classification or clustering trials one after the other in one process with an audit hook."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.untouched"],
        input=json.dumps([asdict(trial) for trial in trials]),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    return [Watched(**each) for each in json.loads(run.stdout.splitlines()[-1])]


def assert_untouched_until_scoring(watched: Watched, test_only: Collection[Path]) -> None:
    """Nothing of the test was opened or listed before the ledger was, and something was after.

    Args:
        test_only: files and folders that nothing but the test needs.
    """
    marks = [place for place, path in enumerate(watched.touched) if path.startswith(LEDGER)]
    assert len(marks) == 1, f"the ledger was opened {len(marks)} times"
    before, after = watched.touched[: marks[0]], watched.touched[marks[0] + 1 :]
    assert before, "nothing was read for training: the hook saw no file"
    early = [path for path in before if is_below(path, test_only)]
    assert not early, f"read before the final scoring: {early[:5]}"
    assert any(is_below(path, test_only) for path in after), "the final scoring read no test file: the hook is blind"


def is_below(path: str, places: Collection[Path]) -> bool:
    return any(Path(path).is_relative_to(place) for place in places)


def main() -> None:
    """In the process of its own: trials from stdin, what they touched to stdout."""
    import torch

    from transfer.tasks.classification.datasets.labelled import OPENED

    torch.set_num_threads(1)
    touched: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == OPENED:
            touched.append(f"{LEDGER}{arguments[0]}")
        elif event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes | os.PathLike):
            touched.append(os.path.realpath(os.fsdecode(arguments[0])))

    sys.addaudithook(hook)
    found = []
    for asked in json.loads(sys.stdin.read()):
        touched.clear()
        outcome = _run(asked)
        root = os.path.realpath(asked["data"])
        found.append({"touched": [path for path in touched if path.startswith((root, LEDGER))], "outcome": outcome})
    print(json.dumps(found))


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    from tests.outcome_checks import assert_metrics_follow
    from transfer import benchmarks
    from transfer.task import task_of
    from transfer.trial import Trial
    from transfer.trials.plan import weights_ref

    folder = Path(asked["work_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    benchmark = benchmarks.get(asked["benchmark"])
    outcome = task_of(benchmark).run(
        Trial(
            benchmark=benchmark,
            weights=weights_ref(asked["source"]),
            seed=asked["seed"],
            data=Path(asked["data"]),
            overrides=tuple(asked["overrides"]),
            device="cpu",
            work_dir=folder,
            weights_dir=folder,
        )
    )
    assert_metrics_follow(outcome, but=["silhouette"])
    return {
        "metrics": {name: metric.value for name, metric in outcome.metrics.items()},
        "test_scorings": outcome.test_scorings,
        "inflated": outcome.inflated,
        "choices": outcome.choices,
        "references": outcome.references,
        "protocol_difference": outcome.protocol_difference,
        "resolved_config": outcome.resolved_config,
    }


if __name__ == "__main__":
    main()
