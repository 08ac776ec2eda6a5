"""The sentence that answers a benchmark's question."""

from __future__ import annotations

import pytest

from tests.report_records import done, failed, trials
from transfer.commands.report import summary_text
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report
from transfer.report.lay_out.claims import headline
from transfer.report.lay_out.document import build_document
from transfer.report.write.html import render_html

RANDOM = trials([50.0, 51.0, 52.0], weights="random-a")
TWIST = trials([60.0, 61.5, 62.2])


def claim(*records: TrialRecord) -> str:
    (found,) = build_document(build_report(records)).claims
    return found


def test_the_best_is_named_with_its_lead_over_the_runner_up() -> None:
    assert claim(*RANDOM, *TWIST) == "demo-seg, mIoU: twist is better than random-a by 10.23 [9.61, 10.86]."
    more = trials([40.0, 41.2, 42.0], weights="moco")
    assert claim(*RANDOM, *TWIST, *more).endswith("and than the other one.")


def test_what_is_not_decided_is_named_with_the_lead_it_has() -> None:
    close = trials([53.0, 50.5, 52.2])
    assert "undecided, twist is ahead of random-a by 0.90 [−" in claim(*RANDOM, *close)


def test_a_row_of_one_seed_is_said_to_be_outside_of_the_claim() -> None:
    found = claim(*RANDOM, *TWIST, done(70.0, weights="once"))
    assert found.endswith("[9.61, 10.86]. Not in this claim, with fewer than 3 trials: once.")


def test_the_headline_counts_where_one_is_best_and_names_what_is_open() -> None:
    other = [*trials([50.0, 51.0, 52.0], weights="random-a", benchmark="demo-seg-frozen")]
    close = [*other, *trials([53.0, 50.5, 52.2], benchmark="demo-seg-frozen")]
    found = headline(build_report([*RANDOM, *TWIST, *close]))
    assert found == "Shown to be better than all others: twist on 1 of 2 benchmarks. Undecided: demo-seg-frozen."
    nobody = headline(build_report([*RANDOM, *trials([53.0, 50.5, 52.2]), *close]))
    assert nobody == "On none of 2 benchmarks is one shown to be better than all others."
    assert headline(build_report([*RANDOM, *TWIST])) == ""


def test_nothing_to_compare_is_undecided() -> None:
    assert "undecided: no two weights on protocol with 3 trials" in claim(done(60.0), done(50.0, weights="random-a"))
    assert "undecided" in claim(failed(seed=0))


def test_page_and_terminal_say_the_same() -> None:
    report = build_report([*RANDOM, *TWIST])
    document = build_document(report)
    assert document.claims[0] in render_html(document)
    assert summary_text(report).splitlines()[0] == document.claims[0]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_summary_fits_the_terminal_that_shows_it(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["demo-seg", "demo-seg-frozen", "demo-voc", "demo-coco"]
    rows = [record for name in names for record in trials([60.0, 61.0, 62.2], benchmark=name)]
    rows += [record for name in names for record in trials([50.0, 51.5, 52.0], benchmark=name, weights="random-a")]
    report = build_report(rows)
    lines, sentences = summary_text(report).splitlines(), len(names) + 1
    assert any("+9.90 [" in line for line in lines[sentences:])
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    narrow = summary_text(report).splitlines()
    tables = narrow[sentences:]
    assert narrow[:sentences] == lines[:sentences] and all(len(line) <= width for line in tables)
    assert "…" not in "".join(tables) and bool(tables) == (width > 40)
