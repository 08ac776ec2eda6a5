"""The record of one trial: strict JSON in and out. What is not in here is not in any report."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from common.files import sha256_text, write_text

SCHEMA_VERSION = 1
RECORD_NAME = "record.json"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure. ``value`` is in percent (0 to 100), as the published tables print it."""

    value: float
    direction: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What the trial started from.

    ``proof`` is the content of the conversion's proof file (None when nothing was converted).
    """

    name: str
    sha256: str
    source: str
    source_format: str
    arch: str
    proof: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """Everything that a report or a reader needs to know about one trial.

    Attributes:
        suite, benchmark, protocol_version, seed: which trial this is.
        status: ``"failed"`` when it raised or when a metric is not finite; then ``error`` says why.
        metrics: name to :class:`Metric`; empty when failed.
        references: figures that need no training on the same data, e.g. ``{"all background": {"miou": 45.1}}``.
        test_scorings: the test-set ledger: ``{"split", "num_images", "purpose"}`` for each time that test images were
            opened (:mod:`transfer.tasks.classification.labelled`); empty where the task has no ledger.
        inflated: metric to what the choice that is best on the test images would have given, in percent: an inflated
            reference, never a result.
        choices: hyper-parameters that were chosen on validation images, and facts of the optimisation.
        pictures: predictions beside ground truth, paths relative to the record's folder.
        protocol_difference: ``"KEY: protocol value -> value used"``, empty on protocol.
        standing: ``"on protocol"``, ``"rescaled"`` (another batch, with the schedule that goes with it) or
            ``"off protocol"``; empty where the task has no protocol lock (:mod:`transfer.protocol_lock`).
        batch: how the batch was made up where that is worth a word, e.g. ``"same batch, accumulated ×2"``.
        resolved_config: the framework's config, every default filled in.
        config_sha256: hash of ``resolved_config``.
        inputs_sha256: hash of all that determines the trial; a trial is skipped only if it matches.
        metrics_sha256: :meth:`figures_sha256` when the trial ended; empty in records that are older than this field.
    """

    suite: str
    benchmark: str
    protocol_version: int
    seed: int
    status: Literal["done", "failed"]
    metrics: dict[str, Metric]
    weights: WeightsInfo
    inputs_sha256: str
    error: str | None = None
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    test_scorings: list[dict[str, Any]] = field(default_factory=list)
    inflated: dict[str, float] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    protocol_difference: list[str] = field(default_factory=list)
    standing: str = ""
    batch: str = ""
    resolved_config: str = ""
    config_sha256: str = ""
    git_commit: str = "unknown"
    git_dirty: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    wall_seconds: float = 0.0
    device_hours: float = 0.0
    peak_bytes: int = 0
    metrics_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Raises ValueError if a done record lacks metrics, a figure is not finite, or the ledger is none."""
        if self.status not in ("done", "failed"):
            raise ValueError(f"status is {self.status!r}, not done or failed")
        if self.status == "done" and not self.metrics:
            raise ValueError("a done trial has no metric")
        for name, metric in self.metrics.items():
            if not math.isfinite(metric.value):
                raise ValueError(f"metric {name} is {metric.value}")
        told = {f"inflated {name}": value for name, value in self.inflated.items()}
        told |= {f"choice {name}": value for name, value in self.choices.items() if isinstance(value, float)}
        for name, value in told.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
        for scoring in self.test_scorings:
            if missing := {"split", "num_images", "purpose"} - scoring.keys():
                raise ValueError(f"a test scoring has no {sorted(missing)[0]}")

    def save(self, path: Path) -> None:
        """Writes the record whole or not at all."""
        write_text(path, self.to_text())

    def to_text(self) -> str:
        """The record as its file holds it."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    def sealed(self) -> TrialRecord:
        """The record with :meth:`figures_sha256` in ``metrics_sha256``: the last thing done to a new one."""
        return dataclasses.replace(self, metrics_sha256=self.figures_sha256())

    def figures_sha256(self) -> str:
        """Hash of the figures and of what they are figures of, as canonical JSON.

        Fields that came later are in it where they hold something, so that records that are older than them keep
        their hash, and neither adding nor removing them goes unnoticed.
        """
        names = ("suite", "benchmark", "protocol_version", "seed", "status", "inputs_sha256", "config_sha256")
        content: dict[str, Any] = {name: getattr(self, name) for name in names}
        content["weights_sha256"] = self.weights.sha256
        content["metrics"] = {name: [metric.value, metric.direction] for name, metric in self.metrics.items()}
        content["references"] = self.references
        later = {"test_scorings": self.test_scorings, "inflated": self.inflated, "choices": self.choices}
        content |= {name: value for name, value in later.items() if value}
        return sha256_text(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False))

    @classmethod
    def load(cls, path: Path) -> TrialRecord:
        """Reads a record; unknown or missing fields are errors.

        Raises:
            UserError: the file is not a record of this schema.
        """
        return cls.from_bytes(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> TrialRecord:
        """As :meth:`load`; ``where`` names the record in errors."""
        try:
            raw = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
            if raw.get("schema_version") != SCHEMA_VERSION:
                raise ValueError(f"schema version {raw.get('schema_version')}, this program reads {SCHEMA_VERSION}")
            raw["metrics"] = {name: Metric(**metric) for name, metric in raw["metrics"].items()}
            raw["weights"] = WeightsInfo(**raw["weights"])
            return cls(**raw)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{where} is not a trial record ({error}): delete it and run the trial again") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
