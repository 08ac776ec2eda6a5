"""Which seeds a benchmark's rows lack: a dropped trial must not go unnoticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transfer.benchmarks import BENCHMARKS
from transfer.report.compare.model import BenchmarkResult

MOST_GAPS = 1000  # a seed far from the others was chosen by hand, and nothing lies between
USUAL_TRIALS = 5  # of a benchmark that is not in the table


def seed_notes(result: BenchmarkResult) -> Iterator[str]:
    """Sentences on the rows on protocol whose seeds are not all there, and on unequal numbers of trials.

    Trials are numbered from 0 unless all were given higher seeds; a failed one is there, and is named elsewhere.
    """
    rows = result.on_protocol
    seeds = {trial.seed for row in rows for trial in row.trials}
    if not seeds:
        return
    benchmark = BENCHMARKS.get(result.key.benchmark)
    first = 0 if min(seeds) < (benchmark.num_trials if benchmark else USUAL_TRIALS) else min(seeds)
    expected = seeds.union(range(first, max(seeds))) if max(seeds) - first <= MOST_GAPS else seeds
    for row in rows:
        if missing := sorted(expected - {trial.seed for trial in row.trials}):
            verb = "seed {} is missing" if len(missing) == 1 else "seeds {} are missing"
            yield f"{row.label}: {verb.format(_listed(missing))}."
    counts = sorted({len(row.done) for row in rows})
    if len(counts) > 1:
        yield (
            f"The rows differ in their number of trials ({counts[0]} to {counts[-1]}): differences are over the seeds "
            "that both rows have."
        )


def _listed(seeds: Iterable[int]) -> str:
    """``"0, 1, 4 to 9"``."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
