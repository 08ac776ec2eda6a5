"""The report of many records: what its time and memory go with, and with SCALE=1 how much they are."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.report_records import NASTY, done, save
from transfer.benchmarks import BENCHMARKS
from transfer.report.compare import power
from transfer.report.draw.marks import WIDE, Mark, _drawing, draw

NUM_WEIGHTS, NUM_BENCHMARKS, NUM_SEEDS = 30, 12, 5
MAX_CPU_SECONDS, MAX_RSS_MIB = 10, 300


def marks(count: int) -> list[Mark]:
    values = [50.0 + index for index in range(count)]
    return [Mark(f"weights-{v:g}", f"{v:.2f} (2)", "#0072B2", v, None, (v - 1, v + 1)) for v in values]


def test_matplotlib_sets_no_text_per_row_and_draws_no_artist_per_row() -> None:
    def artists(count: int) -> int:
        drawing = _drawing(WIDE, marks(count), "mIoU (%)", {}, zero=False)
        assert len(drawing.labels) == 2 * count
        (axes,) = drawing.figure.axes
        return len(axes.texts) + len(axes.lines) + len(axes.collections)

    assert artists(40) == artists(2)


def test_labels_are_in_both_pictures_escaped_in_the_svg_and_the_same_each_time() -> None:
    nasty = Mark(NASTY, "<b>", "#0072B2", 50.0, None, (50.0, 50.5), heading="a & b")
    plot, again = (draw("name", "alt", [nasty], "mIoU (%)") for _ in range(2))
    assert plot == again
    for svg in (plot.svg_wide, plot.svg_narrow):
        assert "&lt;b&gt;</text>" in svg and "a &amp; b</text>" in svg and "<b>" not in svg
        assert "var(--muted); paint-order: stroke; stroke: var(--paper)" in svg
    picture = np.asarray(Image.open(io.BytesIO(plot.png)).convert("L"))
    without = draw("name", "alt", [Mark("", "", "#0072B2", 50.0, None, (50.0, 50.5))], "mIoU (%)").png
    empty = np.asarray(Image.open(io.BytesIO(without)).convert("L"))
    quarter = picture.shape[1] // 4
    assert (empty[:, :quarter] == 255).all() and (picture[:, :quarter] < 128).any() and (picture[:, -40:] < 160).any()


def test_the_number_of_trials_takes_few_evaluations_of_the_power(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    exact = power.paired_t_power

    def counted(noncentrality: float, n: int, alpha: float = power.ALPHA) -> float:
        asked.append(n)
        return exact(noncentrality, n, alpha)

    monkeypatch.setattr(power, "paired_t_power", counted)
    for sd in np.geomspace(0.05, 15, 25):
        for alpha in (0.05, 0.05 / 12, 0.05 / 348):
            asked.clear()
            more = power.additional_trials(1.0, float(sd), 0, alpha=alpha)
            assert more is not None and len(asked) <= 6
            assert exact(more**0.5 / sd, more, alpha) >= 0.8
            assert more == 2 or exact((more - 1) ** 0.5 / sd, more - 1, alpha) < 0.8
    assert power.additional_trials(1e-300, 1.0, 5) is None


@pytest.mark.skipif("SCALE" not in os.environ, reason="SCALE=1 writes a report of 1,800 records, for half a minute")
def test_a_report_of_1800_records_takes_ten_seconds_and_300_mebibytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = list(BENCHMARKS.values())[:NUM_BENCHMARKS]
    names = ["random-resnet18", *(f"weights-{index:02d}" for index in range(1, NUM_WEIGHTS))]
    for row in rows:
        values = 50 + 0.3 * np.arange(NUM_WEIGHTS)[:, None] + rng.normal(size=(NUM_WEIGHTS, NUM_SEEDS))
        save(
            [
                done({row.main_metric: float(value)}, seed=seed, weights=name, benchmark=row.name)
                for name, trials in zip(names, values, strict=True)
                for seed, value in enumerate(trials)
            ],
            tmp_path,
        )
    line = [sys.executable, "-m", "transfer.commands.report", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(line, check=True, env=environment, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime - before < MAX_CPU_SECONDS
    assert used.ru_maxrss / 1024 < MAX_RSS_MIB
    assert (tmp_path / "report.html").stat().st_size < 6 * 2**20
