"""Weights declared to be a published method, in the paper's own tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.report_records import done, failed, save, trials
from transfer.commands.report import write_report
from transfer.record import TrialRecord
from transfer.report.compare.reproduction import HALF_A_DIGIT, reproduction_p_value
from transfer.report.compare.results import build_report
from transfer.report.compare.statistics import summarize
from transfer.report.lay_out.paper_tables import REPRODUCTION, paper_tables
from transfer.report.verify import verify
from twist_common.errors import UserError

VALUES = [58.3, 57.9, 58.4, 58.0, 58.6]  # printed: 58.1, the mean of five


def voc(values: list[float] = VALUES, weights: str = "mine") -> list[TrialRecord]:
    return trials([{"box_ap": value, "box_ap50": value + 20} for value in values], benchmark="voc", weights=weights)


def lines(records: list[TrialRecord], *declared: str) -> list[tuple[str, ...]]:
    (table,) = paper_tables(build_report(records, declared=declared))
    return [row.cells for group in table.groups if group.heading == REPRODUCTION for row in group.rows]


def test_measured_minus_published_in_points_and_sd_with_a_verdict() -> None:
    (line,) = lines([*voc(), *voc([50.0, 51.0, 52.0], "random-a")], "mine=twist")
    assert line[:4] == ("mine − TWIST", "+0.14 (0.5 sd), agrees", "−5.96 (−20.7 sd), lower", "–")
    assert lines(voc()) == []


def test_without_a_name_the_only_weights_that_are_no_baseline_are_meant() -> None:
    records = [*voc(), *voc([50.0, 51.0, 52.0], "random-a")]
    assert lines(records, "TWIST") == lines(records, "mine=TWIST")
    with pytest.raises(UserError, match="say which weights are meant, --as WEIGHTS=TWIST, of mine, other"):
        lines([*records, *voc(VALUES, "other")], "TWIST")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (("mine=TWITS",), "unknown published method 'TWITS': did you mean 'TWIST'"),
        (("mime=TWIST",), "unknown weights 'mime': did you mean 'mine'"),
        (("mine=TWIST", "mine=DINO"), "names two methods for mine: TWIST and DINO"),
    ],
)
def test_what_is_not_there_is_one_sentence(declared: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        lines(voc(), *declared)


def test_few_or_failed_trials_and_those_off_protocol_have_no_verdict() -> None:
    assert [line[1] for line in lines(voc([58.0, 58.4]), "TWIST")] == ["+0.10 (0.4 sd), undecided"]
    lost = [*voc(), failed(seed=9, weights="mine", benchmark="voc")]
    assert [line[1] for line in lines(lost, "TWIST")] == ["+0.14 (0.5 sd), undecided"]
    off = done({"box_ap": 58.0}, benchmark="voc", weights="mine", protocol_difference=["max_iter: 24000 -> 1"])
    assert lines([off], "TWIST") == []


def test_only_printed_rows_of_the_same_backbone_are_compared() -> None:
    records = trials([{"top1": 61.0 + seed / 10} for seed in range(3)], benchmark="imagenet-1pct")
    assert lines(records, "TWIST") == []  # ResNet-18
    larger = [
        replace(record, weights=replace(record.weights, arch="resnet50w2"), seal="").sealed() for record in records
    ]
    (line,) = lines(larger, "TWIST")
    assert line[:3] == ("twist − TWIST, ResNet-50w2", "", "−6.10 (−61.0 sd), lower")


def test_p_is_written_out_and_scipys_t() -> None:
    measured = summarize(VALUES)
    assert measured.mean is not None and measured.sd is not None
    statistic = (measured.mean - 57.0 - HALF_A_DIGIT) / (np.std(VALUES, ddof=1) * np.sqrt(1 / 5 + 1 / 5))
    assert reproduction_p_value(measured, 57.0, 5) == pytest.approx(2 * stats.t.sf(statistic, 4), rel=1e-9)


def test_a_true_reproduction_is_called_different_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(5)
    differs = []
    for _ in range(2000):
        published = round(float(rng.normal(58, 0.4, size=5).mean()), 1)
        p = reproduction_p_value(summarize(list(rng.normal(58, 0.4, size=5))), published, 5)
        differs.append(p is not None and p < 0.05)
    assert 0.02 <= np.mean(differs) <= 0.05 + 2.5 * (0.05 * 0.95 / 2000) ** 0.5


def test_verify_recomputes_the_verdicts(tmp_path: Path) -> None:
    save(voc(), tmp_path)
    write_report([tmp_path], declared=["TWIST"])
    report = tmp_path / "report.json"
    assert verify(report).holds
    report.write_text(report.read_text().replace('"verdict": "agrees"', '"verdict": "higher"'))
    assert any("voc, mine − TWIST, box_ap verdict" in line for line in verify(report).differing)
