"""What stands in each form of the report."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.report_records import NASTY, done, failed, trials
from transfer.commands.report import summary_text
from transfer.record import Metric, TrialRecord
from transfer.report.compare.model import Report
from transfer.report.compare.results import build_report
from transfer.report.lay_out.document import build_document
from transfer.report.write import latex, markdown
from transfer.report.write.data import render_csv, render_json
from transfer.report.write.html import render_html


def records() -> list[TrialRecord]:
    floor = {"all background": {"miou": 45.1}}
    return [
        *trials([50.0, 51.5, 52.1], weights="random-resnet18", references=floor),
        *trials([60.0, 61.0, 62.5], references=floor),
        failed(seed=3, error=f"ValueError: {NASTY}"),
        done(40.0, seed=0, weights="short", protocol_difference=["max_iters: 200 -> 20"]),
        *trials([{"box_ap": 55.0, "box_ap50": 81.0, "box_ap75": 60.0}], weights=NASTY, benchmark="voc"),
    ]


@pytest.fixture(scope="module")
def report() -> Report:
    return build_report(records())


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_html(build_document(report))


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return markdown.render_markdown(build_document(report))


class Tags(HTMLParser):
    """Collects tags with their attributes, and notices tags that are closed in the wrong order."""

    VOID = frozenset({"meta", "br", "wbr", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


@pytest.fixture(scope="module")
def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.tags


def test_page_needs_no_other_file(page: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in tags}
    assert [attributes for tag, attributes in tags if tag == "script"] == [{}]  # one, inline
    assert not re.search(r"@import|url\((?!#)", page)
    hrefs = [value for _, attributes in tags for name, value in attributes.items() if name.endswith("href")]
    assert hrefs and all(value and value.startswith("#") for value in hrefs)


def test_page_ids_are_unique_and_every_reference_has_its_target(
    page: str, tags: list[tuple[str, dict[str, str | None]]]
) -> None:
    ids = Counter(attributes["id"] for _, attributes in tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
    references |= set(re.findall(r'(?:labelledby|popovertarget)="([^"]+)"', page))
    assert references <= set(ids)


def test_page_tables_have_scoped_headers_and_plots_have_text(tags: list[tuple[str, dict[str, str | None]]]) -> None:
    headers = [attributes for tag, attributes in tags if tag == "th"]
    assert headers and all("scope" in attributes for attributes in headers)
    plots = [attributes for tag, attributes in tags if tag == "svg"]
    assert plots and all(attributes["role"] == "img" and attributes["aria-labelledby"] for attributes in plots)
    assert sum(tag == "title" for tag, _ in tags) == 1 + len(plots)


def test_page_follows_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    drawings = " ".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert re.findall(r"(?:fill|stroke|color): #[0-9a-f]+", drawings) == []


def test_names_cannot_become_markup_in_the_page(page: str) -> None:
    assert page.count("<script") == 1  # the page's own, at its end
    assert "&lt;script&gt;" in page


def test_no_script_but_the_pages_own_may_run(page: str) -> None:
    script = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in unescape(policy[1])
    assert "default-src 'none'" in unescape(policy[1])


def test_every_measured_figure_opens_the_card_of_its_row(page: str, report: Report) -> None:
    cards = build_document(report).cards
    assert len(cards) == len(report.rows) == len({card.anchor for card in cards})
    cells = re.findall(
        r'<tr class="(?:measured|baseline)">(.*?)</tr>', page.split("Provenance</h2>")[0], flags=re.DOTALL
    )
    figures = [cell for row in cells for cell in re.findall(r'<td class="num[^>]*>(.*?)</td>', row, flags=re.DOTALL)]
    # An average rank is of many rows, and has one digit.
    measured = [figure for figure in figures if re.search(r"\d", figure) and not re.fullmatch(r"\d\.\d", figure)]
    assert len(measured) > 20 and all("popovertarget" in figure for figure in measured)


def test_cards_tell_hashes_code_machine_and_what_was_off_protocol(report: Report) -> None:
    facts = {card.title: dict(card.facts) for card in build_document(report).cards}
    assert facts["demo-seg: short (off protocol)"]["Differs from the protocol in"] == "max_iters: 200 -> 20"
    assert facts["demo-seg: random-resnet18 (baseline)"]["Differs from the protocol in"] == "nothing"
    card = next(card for card in build_document(report).cards if card.title.startswith("demo-seg: twist"))
    (group,) = card.trials.groups
    (record,) = trials([1.0])
    assert {record.config_sha256[:8], record.git_commit[:10], record.device} <= set(group.rows[0].cells)
    assert group.rows[-1].cells[:2] == ("3 (failed)", "–")


def test_names_cannot_become_markup_in_markdown(text: str) -> None:
    assert "<script" not in text
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("| Weights"))
    row = next(line for line in lines[lines.index(header) :] if "alert" in line)
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in (header, row)]
    assert cells[0] == cells[1] > 2


@pytest.mark.parametrize("form", ["page", "text"])
def test_readers_are_told_of_failures_deviations_floors_and_published_rows(
    form: str, request: pytest.FixtureRequest
) -> None:
    content = request.getfixturevalue(form)
    for words in (
        "1 trial failed",
        "short (off protocol)",
        "max\\_iters: 200" if form == "text" else "max_iters: 200",
        "all background (floor)",
        "Published, not measured: Table 5 of arXiv:2110.07402",
        "Smallest detectable",
        "1 of 4 failed",
    ):
        assert words in content


def test_proof_hash_and_commit_are_in_the_provenance(page: str) -> None:
    (record,) = trials([1.0])
    assert record.weights.sha256 in page
    assert "detectron2 2.5e-07" in page
    assert record.git_commit[:10] in page


def test_csv_has_every_value_unrounded(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(report))))
    given = records()
    assert len(rows) == sum(max(len(record.metrics), 1) for record in given)
    values = [float(row["value"]) for row in rows if row["status"] == "done"]
    assert sorted(values) == sorted(metric.value for record in given for metric in record.metrics.values())
    (lost,) = [row for row in rows if row["status"] == "failed"]
    assert (lost["metric"], lost["value"], lost["error"]) == ("", "", f"ValueError: {NASTY}")


def test_bold_is_what_the_test_supports_and_nothing_else() -> None:
    clear = [*trials([50.0, 51.0, 52.0], weights="random-a"), *trials([60.0, 61.5, 62.2])]
    close = [*trials([50.0, 51.0, 52.0], weights="random-a"), *trials([53.0, 50.5, 52.2])]
    two = [*trials([50.0, 51.0], weights="random-a"), *trials([60.0, 61.5])]
    pages = [render_html(build_document(build_report(records))) for records in (clear, close, two)]
    assert [' best" ' in page for page in pages] == [True, False, False]
    assert r"\textbf{61.23 $\pm$ 1.12 (3)}" in latex.render_latex(build_report(clear))
    assert "**61.23 ± 1.12 (3)**" in markdown.render_markdown(build_document(build_report(clear)))


def test_off_protocol_weights_are_never_the_best() -> None:
    off = trials([90.0, 91.5, 92.2], weights="off", protocol_difference=["max_iters: 200 -> 999"])
    (result,) = build_report([*trials([50.0, 51.0, 52.0], weights="random-a"), *off]).benchmarks
    assert result.best is None


def test_with_a_metric_that_is_better_lower_the_lowest_is_the_best() -> None:
    lower = [
        dataclasses.replace(record, metrics={"loss": Metric(value=record.metrics["miou"].value, direction="lower")})
        for record in [*trials([50.0, 51.0, 52.0], weights="random-a"), *trials([60.0, 61.5, 62.2])]
    ]
    (result,) = build_report(lower).benchmarks
    assert result.best == "random-a"


def test_too_few_trials_are_named_in_the_warnings() -> None:
    document = build_document(build_report(trials([60.0, 61.0])))
    assert any("fewer than 3 trials: no interval" in warning for warning in document.warnings)


def test_an_edited_record_is_named_in_the_warnings() -> None:
    edited = dataclasses.replace(done(60.0).sealed(), metrics={"miou": Metric(value=61.0)})
    document = build_document(build_report([edited]))
    assert any(warning.startswith("Edited after its trial: demo/demo-seg, twist-") for warning in document.warnings)


def test_json_has_every_statistic(report: Report) -> None:
    content = json.loads(render_json(report))
    segmentation = next(each for each in content["benchmarks"] if each["benchmark"] == "demo-seg")
    twist = next(row for row in segmentation["weights"] if row["label"] == "twist")
    assert twist["metrics"]["miou"]["values"] == {"0": 60.0, "1": 61.0, "2": 62.5}
    assert twist["failed"] == {"3": f"ValueError: {NASTY}"}
    difference = twist["differences"]["miou"]
    assert difference["seeds"] == [0, 1, 2]
    assert difference["summary"]["mean"] == pytest.approx((10 + 9.5 + 10.4) / 3)
    assert 0 < difference["p_value"] < 0.01 < difference["smallest_detectable"]
    assert difference["p_holm"] == difference["p_value"]  # the only comparison
    assert (difference["p_sign_flip"], difference["more_trials"]) == (0.25, 1)
    assert segmentation["floors"] == {"all background": {"miou": [45.1, 45.1]}}


def test_summary_has_every_benchmark_and_weights(report: Report) -> None:
    summary = summary_text(report)
    line = next(line for line in summary.splitlines() if line.split()[:1] == ["twist"] and "±" in line)
    assert "61.17 ± 1.26 (3 of 4)" in line and "+9.97 [+8.85, +11.09]" in line
    assert NASTY in summary
    assert not any(line.endswith(" ") for line in summary.splitlines())


def test_a_report_in_which_every_trial_failed_can_be_written() -> None:
    report = build_report([failed(seed=0), failed(seed=0, weights="random-resnet18")])
    document = build_document(report)
    assert document.plots == []
    assert "2 trials failed" in render_html(document)
    assert "demo-seg" in markdown.render_markdown(document)
    assert "0 of" not in latex.render_latex(report)


def test_what_is_missing_or_failed_is_a_number_in_no_form() -> None:
    names: dict[str, Any] = {"benchmark": "imagenet-1pct"}
    lost = [failed(seed=seed, weights="lost", error="why", **names) for seed in range(2)]
    partly = [done({"top1": 60.0}, seed=0, **names), done({"top1": 61.0, "top5": 80.0}, seed=1, **names)]
    report = build_report([*lost, *partly])
    document = build_document(report)
    forms = {
        "md": markdown.render_markdown(document),
        "html": re.sub(r"<(script|style|svg).*?</\1>", "", render_html(document), flags=re.DOTALL),
        "tex": latex.render_latex(report),
        "csv": render_csv(report),
        "json": render_json(report),
    }
    for name, form in forms.items():
        assert not re.search(r"\b([Nn]a[Nn]|inf|Infinity|None)\b", form), name
    rows = {row.label: row for row in report.benchmarks[0].rows}
    assert (rows["lost"].metrics["top1"].n, rows["twist"].metrics["top5"].n) == (0, 1)
    for table in (document.sections[0].results, *document.paper):
        cells = next(row.cells for group in table.groups for row in group.rows if "2 of 2 failed" in row.cells[0])
        assert not any(re.search(r"\d", cell) for cell in cells[1:] if "ResNet" not in cell)
    measured = [row for row in csv.DictReader(io.StringIO(forms["csv"])) if row["value"]]
    assert len(measured) == 3 and {row["weights"] for row in measured} == {"twist"}


def test_below_three_trials_every_place_of_an_interval_says_so() -> None:
    document = build_document(build_report([*trials([60.0, 61.0]), *trials([50.0, 51.0, 53.0], weights="random-a")]))
    cells = {row.cells[0]: row.cells[2] for group in document.sections[0].results.groups for row in group.rows}
    assert cells == {"random-a (baseline)": "[47.54, 55.13]", "twist": "n < 3"}
    assert "1 of 2 rows has fewer than 3 trials: no interval and no test there." in document.warnings
