"""The record of one trial: strict JSON in and out. What is not in here is not in any report."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transfer.record_bounds import MAX_RECORD_BYTES, out_of_bounds, out_of_range
from twist_common.errors import UserError
from twist_common.files import sha256_text, write_text
from twist_common.strict_json import brief, loads, read_bounded, reason, typed

SCHEMA_VERSION = 2
SEALED_IN_PART = 1  # the schema of older records, whose seal (metrics_sha256) covers the figures alone
RECORD_NAME = "record.json"
OUTCOMES_NAME = "outcomes.npz"  # beside the record: :mod:`transfer.outcomes.file`
# The file begins with these keys; the others follow in the order of the classes.
FIRST_KEYS = (
    "suite", "benchmark", "protocol_version", "seed", "status", "metrics", "weights", "inputs_sha256", "error",
)  # fmt: skip
# Fields that not all records have; empty ones are not written.
LATER_FIELDS = ("processor", "data_remarks", "norm_batch", "repeats", "files", "ledger", "metrics_sha256", "seal")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure. ``value`` is in percent, as published tables print it, or as :mod:`transfer.record_bounds` says."""

    value: float
    direction: Literal["higher", "lower"] = "higher"


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """The weights that the trial started from.

    ``proof`` is the content of the conversion's proof file; None when nothing was converted.
    """

    name: str
    sha256: str
    source: str
    source_format: str
    arch: str
    proof: dict[str, Any] | None

    @property
    def folder(self) -> str:
        """Name of the folders that belong to these weights, as :attr:`transfer.trial.WeightsRef.folder`."""
        return f"{self.name}-{self.sha256[:8]}"


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Test images of a user's own data that are among the training images too.

    Attributes:
        test_images: how many there are in all.
        near_duplicates: those with a near-duplicate among the training images, exact ones included.
        exact: those whose very bytes are among them.
    """

    test_images: int
    near_duplicates: int
    exact: int

    def __str__(self) -> str:
        return (
            f"{self.near_duplicates:,} of {self.test_images:,} test images have a near-duplicate among the training "
            f"images ({self.exact:,} the same bytes)"
        )


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What came out of a trial: a task returns it (:class:`transfer.trial.Outcome`), and the record keeps it.

    Attributes:
        metrics: name to :class:`Metric`; empty in the record of a failed trial.
        references: figures that need no training on the same data, e.g. ``{"all background": {"miou": 45.1}}``.
        test_scorings: ``{"split", "num_images", "purpose"}`` for each time that test images were
            opened (:mod:`transfer.tasks.classification.datasets.labelled`); empty where the task keeps no such list.
        inflated: for a metric, the value that the choice with the best test score would have had, in percent: an
            inflated reference, never a result.
        choices: hyper-parameters that were chosen on validation images, and facts about the optimisation.
        pictures: predictions beside ground truth. A task gives paths below its ``work_dir``; in the record they are
            relative to the record's folder.
        protocol_difference: ``"KEY: protocol value -> value used"``; empty on protocol.
        standing: ``"on protocol"``, ``"rescaled"`` (another batch size, with the schedule that goes with it) or
            ``"off protocol"``; empty where the task has no protocol lock (:mod:`transfer.protocol_lock`).
        batch: how the batch was put together where that is worth a word, e.g. ``"same batch, accumulated ×2"``.
        norm_batch: images over which batch norms take their statistics in training, where these follow the GPUs' memory
            (:func:`transfer.protocol_lock.with_norm_batch`); None without such norms, and in older records.
        data_remarks: what a reader must know about the data, a sentence each: classes that are not averaged over,
            annotations that were read in another way than they say.
        resolved_config: the framework's config as text, with every default filled in and without paths to scratch
            folders, so that equal protocols have equal text.
    """

    metrics: dict[str, Metric]
    references: dict[str, dict[str, float]] = field(default_factory=dict)
    test_scorings: list[dict[str, Any]] = field(default_factory=list)
    inflated: dict[str, float] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    pictures: Sequence[Path | str] = ()
    protocol_difference: list[str] = field(default_factory=list)
    standing: str = ""
    batch: str = ""
    norm_batch: int | None = None
    data_remarks: list[str] = field(default_factory=list)
    resolved_config: str

    def result(self) -> dict[str, Any]:
        """The fields of :class:`TrialResult` alone, whatever a subclass adds."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(TrialResult)}

    def unfit(self) -> dict[str, float]:
        """Name to value of every figure that is not finite or, being in percent, out of range; metrics come first."""
        figures = [(name, name, metric.value) for name, metric in self.metrics.items()]
        for reference, values in self.references.items():
            figures += [(f"{name} of {reference}", name, value) for name, value in values.items()]
        figures += [(f"inflated {name}", name, value) for name, value in self.inflated.items()]
        found = {shown: value for shown, name, value in figures if out_of_range(name, value)}
        chosen = {f"choice {name}": value for name, value in self.choices.items() if isinstance(value, float)}
        return found | {name: value for name, value in chosen.items() if not math.isfinite(value)}


@dataclass(frozen=True, kw_only=True)
class TrialRecord(TrialResult):
    """Everything that a report or a reader needs to know about one trial.

    Attributes:
        suite, benchmark, protocol_version, seed: identify the trial.
        status: ``"failed"`` when the task raised or a figure is not finite; then ``error`` says why.
        inputs_sha256: hash of everything that determines the trial; a trial is skipped only if it matches.
        config_sha256: hash of ``resolved_config``.
        processor: the CPU's model, also of trials on GPUs; empty in records older than this field. On CPU the same
            seed gives the same figures bit for bit on one model only.
        repeats: test images among the training images, where own data were looked through for them; None elsewhere.
        files: name to SHA-256 of what lies beside the record and belongs to it: pictures, outcomes of the images.
        ledger: hash of the line of the trial's start (:mod:`transfer.ledger`); empty in records from before ledgers.
        metrics_sha256: the seal of records of the older schema: :meth:`figures_sha256` when the trial ended.
        seal: :meth:`content_sha256` when the trial ended; empty in records of the older schema.
    """

    suite: str
    benchmark: str
    protocol_version: int
    seed: int
    status: Literal["done", "failed"]
    weights: WeightsInfo
    inputs_sha256: str
    error: str | None = None
    pictures: list[str] = field(default_factory=list)
    resolved_config: str = ""
    config_sha256: str = ""
    git_commit: str = "unknown"
    git_dirty: bool = False
    packages: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    processor: str = ""
    wall_seconds: float = 0.0
    device_hours: float = 0.0
    peak_bytes: int = 0
    repeats: Repeats | None = None
    files: dict[str, str] = field(default_factory=dict)
    ledger: str = ""
    metrics_sha256: str = ""
    seal: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Raises ValueError if a done trial lacks metrics, a figure cannot be, or a field is out of its bounds."""
        if self.status not in ("done", "failed"):
            raise ValueError(f"status is {brief(self.status)}, not done or failed")
        if self.status == "done" and not self.metrics:
            raise ValueError("a done trial has no metric")
        if self.status == "failed" and (self.metrics or not self.error):
            raise ValueError("a failed trial has a metric" if self.metrics else "a failed trial has no error")
        for name, value in self.unfit().items():
            raise ValueError(f"{name} is {value}, not a figure of this metric")
        for problem in out_of_bounds(self):
            raise ValueError(problem)

    def save(self, path: Path) -> None:
        """Writes the record, whole or not at all."""
        write_text(path, self.to_text())

    def to_text(self) -> str:
        """The text of the record's file. A record older than some fields is written as it was read."""
        content = self._content()
        in_order = {name: content[name] for name in (*FIRST_KEYS, *content)}
        return json.dumps(in_order, indent=1, allow_nan=False) + "\n"

    def _content(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        return {name: value for name, value in content.items() if value or name not in LATER_FIELDS}

    def sealed(self) -> TrialRecord:
        """The record with its seal, the last step of making one."""
        record = dataclasses.replace(self, schema_version=SCHEMA_VERSION, metrics_sha256="")
        return dataclasses.replace(record, seal=record.content_sha256())

    @property
    def stated_seal(self) -> str:
        """The seal that the record carries; empty before it is :meth:`sealed`."""
        return self.metrics_sha256 if self.schema_version == SEALED_IN_PART else self.seal

    @functools.cached_property
    def seal_holds(self) -> bool:
        """Whether the seal is that of what it covers."""
        in_part = self.schema_version == SEALED_IN_PART
        return self.stated_seal == (self.figures_sha256() if in_part else self.content_sha256())

    def content_sha256(self) -> str:
        """Hash of everything that the record's file says but the seal, as canonical JSON."""
        content = self._content()
        content.pop("seal", None)
        return sha256_text(_canonical(content))

    def figures_sha256(self) -> str:
        """Hash of the figures, and of what they were measured on and with: the seal of the older schema.

        Fields introduced later are hashed only where they are not empty, so that older records keep their hash and
        yet neither adding nor removing such a field goes unnoticed.
        """
        names = ("suite", "benchmark", "protocol_version", "seed", "status", "inputs_sha256", "config_sha256")
        content: dict[str, Any] = {name: getattr(self, name) for name in names}
        content["weights_sha256"] = self.weights.sha256
        content["metrics"] = {name: [metric.value, metric.direction] for name, metric in self.metrics.items()}
        content["references"] = self.references
        later = {
            "test_scorings": self.test_scorings,
            "inflated": self.inflated,
            "choices": self.choices,
            "data_remarks": self.data_remarks,
            "norm_batch": self.norm_batch,
        }
        content |= {name: value for name, value in later.items() if value}
        return sha256_text(_canonical(content))

    @classmethod
    def load(cls, path: Path) -> TrialRecord:
        """Reads a record; unknown or missing fields are errors.

        Raises:
            UserError: the file is not a record of this schema or the one before, or it has no seal.
        """
        return cls.from_bytes(read_bounded(path, MAX_RECORD_BYTES), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> TrialRecord:
        """Reads a record as :meth:`load` does; ``where`` names it in errors."""
        try:
            if len(content) > MAX_RECORD_BYTES:
                raise ValueError(f"more than {MAX_RECORD_BYTES >> 20} MiB")
            raw = loads(content)
            version = raw.get("schema_version") if isinstance(raw, dict) else None
            if type(version) is not int or version not in (SEALED_IN_PART, SCHEMA_VERSION):
                raise ValueError(f"schema version {brief(version)}, this program reads {SCHEMA_VERSION}")
            record: TrialRecord = typed(raw, cls, "the record")
            if not record.stated_seal:
                raise ValueError("it has no seal")
            return record
        except ValueError as error:
            raise UserError(
                f"{where} is not a trial record ({reason(error)}): delete it and run the trial again"
            ) from None


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
