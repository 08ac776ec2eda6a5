"""Weights that are said to be a published method: how far measured figures are from the printed ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.report.compare.model import Report
from transfer.report.compare.paper import Form, MeasuredRow, Place, PrintedRow, filled_forms, paper_forms
from transfer.report.compare.power import ALPHA
from transfer.report.compare.statistics import MIN_TRIALS, SampleSummary
from twist_common.errors import UserError, unknown_name

HALF_A_DIGIT = 0.05  # published figures have one
Agreement = Literal["agrees", "higher", "lower", "undecided"]


@dataclass(frozen=True)
class Reproduction:
    """One measured figure against one printed figure.

    Attributes:
        difference: measured − published, in percentage points.
        in_sd: the same in standard deviations of the measured trials; None without a spread.
        p_value: of :func:`reproduction_p_value`; None below three trials, without a spread, and where trials failed.
    """

    suite: str
    form: Form
    row: MeasuredRow
    printed: PrintedRow
    place: Place
    difference: float
    in_sd: float | None
    p_value: float | None

    @property
    def verdict(self) -> Agreement:
        if self.p_value is None:
            return "undecided"
        return "agrees" if self.p_value >= ALPHA else "higher" if self.difference > 0 else "lower"


def declared_methods(asked: Sequence[str], labels: Iterable[str], baselines: Iterable[str]) -> dict[str, str]:
    """Label of weights to published method.

    Args:
        asked: ``"WEIGHTS=METHOD"``, or ``"METHOD"`` where only one initialisation is no baseline.

    Raises:
        UserError: no such weights or method, or it is not said which weights are meant.
    """
    methods = {row.method.split(",")[0] for form in paper_forms() for row in form.printed}
    names, known = set(labels), {method.casefold(): method for method in methods}
    found: dict[str, str] = {}
    for each in asked:
        label, sign, method = each.rpartition("=")
        if method.casefold() not in known:
            raise unknown_name("published method", method, methods)
        if not sign:
            others = sorted(names - set(baselines))
            if len(others) != 1:
                raise UserError(
                    f"--as {each}: say which weights are meant, --as WEIGHTS={each}, of {', '.join(others)}"
                )
            label = others[0]
        if label not in names:
            raise unknown_name("weights", label, names)
        if found.setdefault(label, known[method.casefold()]) != known[method.casefold()]:
            raise UserError(f"--as names two methods for {label}: {found[label]} and {known[method.casefold()]}")
    return found


def reproduction_p_value(measured: SampleSummary, published: float, num_published: int) -> float | None:
    """Two-sided p of measured and published means being of one distribution, t with n − 1 degrees of freedom.

    The standard deviation of a published trial is not printed: it is taken to be that of the measured ones. What
    rounding of the printed figure can explain is subtracted from the difference.
    """
    if measured.n < MIN_TRIALS or not measured.sd or measured.mean is None:
        return None
    from scipy.special import stdtr

    distance = max(0.0, abs(measured.mean - published) - HALF_A_DIGIT)
    error = measured.sd * math.sqrt(1 / measured.n + 1 / num_published)
    return 2 * float(stdtr(measured.n - 1, -distance / error))


def reproductions(report: Report, suite: str, form: Form, row: MeasuredRow) -> Iterator[Reproduction]:
    """Every printed figure of the row's declared method, unless its backbone, epochs or crops are others."""
    method = report.reproduced.get(row.rows[0].label)
    if method is None or not row.rows[0].procedure.on_protocol:
        return
    first = row.rows[0]
    known = {"backbone": first.arch, **report.evidence.pretraining_facts(first.weights.sha256)}
    for printed in form.printed:
        if printed.method.split(",")[0] != method:
            continue
        if any(known.get(name) not in (None, printed.facts.get(name)) for name in form.facts if name in printed.facts):
            continue
        for place in form.places:
            published, figures = printed.values.get((place.benchmark, place.metric)), row.summary(place)
            if published is None or figures is None or figures.mean is None:
                continue
            difference = figures.mean - published
            lost = bool(row.runs[place.benchmark][1].failed)
            p_value = None if lost else reproduction_p_value(figures, published, form.num_trials(place.benchmark))
            in_sd = difference / figures.sd if figures.sd else None
            yield Reproduction(suite, form, row, printed, place, difference, in_sd, p_value)


def all_reproductions(report: Report) -> Iterator[Reproduction]:
    for filled in filled_forms(report):
        for row in filled.rows:
            yield from reproductions(report, filled.suite, filled.form, row)
