"""Which trials ran the protocol, and which ran something else: only trials of one kind are averaged or compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord


@dataclass(frozen=True, order=True)
class Procedure:
    """What a trial ran. Trials of equal procedure may be averaged and compared.

    Attributes:
        deviations: why this is off protocol, in words; empty on protocol.
    """

    deviations: tuple[str, ...]
    protocol_version: int
    config_sha256: str

    @property
    def on_protocol(self) -> bool:
        return not self.deviations


def procedures(records: Sequence[TrialRecord]) -> dict[int, Procedure]:
    """The procedure of each done trial of one benchmark, by index in ``records``.

    The protocol is the benchmark's current version (for a benchmark that is not in the table: the newest seen)
    without differences. Trials that declare none and still resolved to different configs cannot all have run it:
    the config of most trials counts as the protocol, the others are off.
    """
    done = [record for record in records if record.status == "done"]
    if not done:
        return {}
    version = _current_version(done)
    configs = Counter(
        record.config_sha256 for record in done if record.protocol_version == version and not record.protocol_difference
    )
    config = max(configs, key=lambda sha256: (configs[sha256], sha256), default=None)
    return {
        index: _procedure(record, version=version, config=config)
        for index, record in enumerate(records)
        if record.status == "done"
    }


def _current_version(done: Sequence[TrialRecord]) -> int:
    benchmark = BENCHMARKS.get(done[0].benchmark)
    return benchmark.protocol_version if benchmark else max(record.protocol_version for record in done)


def _procedure(record: TrialRecord, *, version: int, config: str | None) -> Procedure:
    deviations = list(record.protocol_difference)
    if record.protocol_version != version:
        deviations.insert(0, f"protocol version {record.protocol_version}, current is {version}")
    if not deviations and record.config_sha256 != config:
        deviations.append(f"resolved config {record.config_sha256[:8]} differs from that of most trials")
    return Procedure(
        deviations=tuple(deviations),
        protocol_version=record.protocol_version,
        config_sha256=record.config_sha256,
    )
