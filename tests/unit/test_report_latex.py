"""``report.tex``: whatever the names are, it compiles, fits the page, and has as many cells as columns."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report_records import NASTY, done, failed, trials
from tests.unit.test_report_adversarial import SETS
from transfer.report.compare.model import Report
from transfer.report.compare.results import build_report
from transfer.report.write import latex

needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")


@pytest.fixture(scope="module")
def report() -> Report:
    return build_report(
        [
            *trials([50.0, 51.5, 52.1], weights="random-resnet18", references={"all background": {"miou": 45.1}}),
            *trials([60.0, 61.0, 62.5]),
            failed(seed=3),
            done(40.0, seed=0, weights="short", protocol_difference=["max_iters: 200 -> 20"]),
            *trials([{"box_ap": 55.0, "box_ap50": 81.0, "box_ap75": 60.0}], weights=NASTY, benchmark="voc"),
        ]
    )


def test_names_cannot_become_commands_in_latex(report: Report) -> None:
    tex = latex.render_latex(report)
    escaped = latex.escape(NASTY)
    assert escaped in tex
    plain = re.sub(r"\\(?:text[a-z]+\{\}|[{}$&%#_])", "", escaped)
    assert not set(plain) & set("\\{}$&%#_~^<>")


def test_latex_tables_have_as_many_cells_as_columns(report: Report) -> None:
    tex = latex.render_latex(report)
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", tex, flags=re.DOTALL)
    # The matrix, results of two benchmarks, differences of the one with a baseline, both in the form of the paper's.
    assert len(tables) == 6
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert rows and all(len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1 for row in rows)


def test_latex_tables_are_never_wider_than_the_page_nor_too_many_in_a_row() -> None:
    many = [record for index in range(15) for record in trials([60.0, 61.0], benchmark=f"bench-{index}")]
    blocks = latex.render_latex(build_report(many)).split("\n\n")
    assert "booktabs" in blocks[0] and "graphicx" in blocks[0]
    assert all(latex.FIT in block for block in blocks[1:])
    floats = "".join(blocks).split("\\clearpage")
    assert len(floats) == 2 and all(part.count("\\begin{table}") <= latex.MAX_FLOATS for part in floats)


def test_tables_longer_than_a_page_are_split_and_lose_no_row() -> None:
    names = [f"weights-{index:02d}" for index in range(45)]
    tex = latex.render_latex(build_report([each for name in names for each in trials([60.0, 61.0], weights=name)]))
    blocks = [block for block in tex.split("\n\n") if "-results" in block]
    assert [len(re.findall(r"weights-\d\d", block)) for block in blocks] == [23, 22]
    assert "(continued)" in blocks[1] and len(set(re.findall(r"\\label\{.*?\}", tex))) == tex.count("\\label{")


def compiled(report: Report, folder: Path) -> str:
    """What pdfLaTeX says of the report's tables."""
    (folder / "report.tex").write_text(latex.render_latex(report))
    page = "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\\input{report}\\end{document}"
    (folder / "main.tex").write_text(page)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]
    return ended.stdout


@needs_pdflatex
def test_latex_compiles_with_names_that_are_no_latex(report: Report, tmp_path: Path) -> None:
    assert "Overfull" not in compiled(report, tmp_path)


@needs_pdflatex
@pytest.mark.parametrize("name", SETS)
def test_adversarial_sets_compile(name: str, tmp_path: Path) -> None:
    assert "Overfull" not in compiled(build_report(SETS[name][0]), tmp_path)


def printable_characters(first: int, end: int) -> list[str]:
    return [each for each in map(chr, range(first, end)) if each.isprintable() and each != "/"]


@needs_pdflatex
def test_names_of_any_script_compile_and_stay_distinct(tmp_path: Path) -> None:
    # ASCII, European scripts, Chinese, emoji and a combining accent.
    ranges = [(0x21, 0x7F), (0xA1, 0x250), (0x370, 0x500), (0x1E00, 0x2300), (0x4E00, 0x4E40), (0x1F600, 0x1F610)]
    names = ["".join(printable_characters(*each)) for each in ranges]
    names = [name[start : start + 64] for name in names for start in range(0, len(name), 64)] + ["e\u0301", "模型一"]
    records = [each for name in names for each in trials([60.0, 61.0, 62.5], weights=f"w {name}")]
    said = compiled(build_report(records), tmp_path)
    assert "Overfull" not in said and "Missing character" not in (tmp_path / "main.log").read_text(errors="replace")


def test_a_character_that_latex_lacks_is_shown_by_its_number() -> None:
    head = latex.render_latex(build_report(trials([60.0, 61.0], weights="模 ą é"))).split("\n\n")[0].splitlines()
    assert r"\reportglyph{模}{6A21}" in head and r"\reportglyph{é}{00E9}" in head
    assert r"\ifx\reportencoding\reportold\reportnumber{ą}{0105}\fi" in head


def test_titles_of_many_columns_are_stacked_and_delta_is_set(report: Report) -> None:
    tex = latex.render_latex(report)
    assert r"\shortstack[r]{Smallest\\detectable}" in tex
    assert latex.escape("δ1") == r"$\delta$1"
