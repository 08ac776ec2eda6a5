"""What a report says before anything is formatted: benchmarks, their rows, and how the rows compare."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer.record import TrialRecord
from transfer.report.compare.images import Resampled
from transfer.report.compare.ledgers import LedgerFindings, check_ledgers
from transfer.report.compare.statistics import ImagesInterval, PairedDifference, SampleSummary
from transfer.report.read.evidence import Evidence

if TYPE_CHECKING:
    from transfer.report.read.published import PublishedTable

WANTED_DIFFERENCE = 1.0  # percentage point: what papers argue about


@dataclass(frozen=True, order=True)
class Weights:
    """An initialisation; two files with the same name are two initialisations."""

    name: str
    sha256: str


@dataclass(frozen=True)
class BenchmarkKey:
    """Figures are compared within one benchmark of one suite, and nowhere else."""

    suite: str
    benchmark: str


@dataclass(frozen=True, order=True)
class Procedure:
    """What a trial ran. Trials with equal procedures may be averaged and compared.

    Attributes:
        deviations: why this is off protocol, in words; empty on protocol.
    """

    deviations: tuple[str, ...]
    protocol_version: int
    config_sha256: str

    @property
    def on_protocol(self) -> bool:
        return not self.deviations


@dataclass(frozen=True)
class MetricInfo:
    name: str
    direction: str  # "higher" or "lower" is better


@dataclass(frozen=True)
class ResultRow:
    """The trials of one initialisation that ran one procedure.

    Attributes:
        label: the weights' name, with the start of their hash where two files share it.
        done, failed: by seed.
        metrics: metric name to its summary over the done trials; n = 0 where none reported it.
        inflated: the same for what the best choice on the test images would have given: a reference, never a result.
        deterministic: whether several trials gave the same figures, all of them: the seed has no influence, and the
            trials count once in ``metrics`` and ``inflated``.
        is_baseline: others are compared with this row.
        baseline: label of the row that this one is compared with; None if there is none with the same procedure.
        differences: metric name to this row minus the baseline.
        resampled: the main metric's figures over other draws of the test images, by seed, where they are known.
        with_images: interval of the main metric for new test images too.
    """

    weights: Weights
    label: str
    arch: str
    procedure: Procedure
    done: tuple[TrialRecord, ...]
    failed: tuple[TrialRecord, ...]
    metrics: dict[str, SampleSummary]
    inflated: dict[str, SampleSummary]
    deterministic: bool = False
    is_baseline: bool = False
    baseline: str | None = None
    differences: dict[str, PairedDifference] = field(default_factory=dict)
    resampled: dict[int, Resampled] = field(default_factory=dict)
    with_images: ImagesInterval | None = None

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        return (*self.done, *self.failed)

    def values(self, metric: str) -> dict[int, float]:
        """Seed to value, for the done trials that reported the metric."""
        return {trial.seed: trial.metrics[metric].value for trial in self.done if metric in trial.metrics}

    def inflated_values(self, metric: str) -> dict[int, float]:
        """Seed to the inflated reference, for the done trials that have one."""
        return {trial.seed: trial.inflated[metric] for trial in self.done if metric in trial.inflated}


@dataclass(frozen=True)
class Floor:
    """A figure that needs no training, e.g. predicting background everywhere; (lowest, highest) over the trials."""

    name: str
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Leader:
    """The row that leads a benchmark by its main metric, of those on protocol with no failed trial.

    Attributes:
        p_value: of the claim that it is better than every other row; None where it is not ahead of one over their
            common seeds, or where a pair has no test.
        p_holm: corrected over the suite's benchmarks.
        is_best: whether that shows it to be the best.
        runner_up: label of the one with the next highest mean.
        lead: over the runner-up; its simultaneous interval is over the suite's benchmarks.
        behind: labels of rows that are shown to be worse.
        undecided: labels of rows that may be as good.
        left_out: labels of rows with too few trials for a test.
    """

    label: str
    p_value: float | None
    p_holm: float | None
    is_best: bool
    runner_up: str
    lead: PairedDifference
    behind: tuple[str, ...]
    undecided: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark of one suite.

    Attributes:
        rows: baseline first, off protocol last.
        leader: None where no two rows can be compared (:mod:`~transfer.report.compare.families`).
    """

    key: BenchmarkKey
    title: str
    main_metric: str
    metrics: tuple[MetricInfo, ...]
    rows: tuple[ResultRow, ...]
    floors: tuple[Floor, ...]
    published: PublishedTable | None
    leader: Leader | None = None

    @property
    def on_protocol(self) -> list[ResultRow]:
        return [row for row in self.rows if row.procedure.on_protocol]

    @property
    def best(self) -> str | None:
        """Label of the row that is shown to be better than every other one on protocol."""
        return self.leader.label if self.leader and self.leader.is_best else None

    def sign(self, metric: str) -> int:
        """1 where higher is better, −1 where lower is."""
        return -1 if MetricInfo(metric, "lower") in self.metrics else 1


@dataclass(frozen=True, eq=False)  # a report is itself alone, so that what is computed of it can be kept
class Report:
    """All benchmarks.

    Attributes:
        baseline: as it was asked for.
        wanted: the difference to be shown, in percentage points.
        margin: what counts as no difference, in percentage points.
        declared: which weights are said to be which published method, as it was asked for.
        reproduced: label of weights to the published method that they are said to be.
        evidence: what lies beside the records.
    """

    benchmarks: tuple[BenchmarkResult, ...]
    baseline: str | None = None
    wanted: float = WANTED_DIFFERENCE
    margin: float | None = None
    declared: tuple[str, ...] = ()
    reproduced: dict[str, str] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def records(self) -> list[TrialRecord]:
        return [record for row in self.rows for record in row.trials]

    @functools.cached_property
    def ledger(self) -> LedgerFindings:
        """What the runs' ledgers say about the records."""
        return check_ledgers(self.records, self.evidence.ledgers)

    @property
    def suites(self) -> list[str]:
        return list(dict.fromkeys(benchmark.key.suite for benchmark in self.benchmarks))

    @property
    def rows(self) -> list[ResultRow]:
        return [row for benchmark in self.benchmarks for row in benchmark.rows]
