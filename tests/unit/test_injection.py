"""Names and texts that others wrote, in every output; files of others that grow when they are read."""

from __future__ import annotations

import csv
import io
import re
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from tests.report_evidence import content, run
from tests.report_records import failed, trials
from transfer.commands.report import summary_text
from transfer.doctor.files import BROKEN
from transfer.report.compare.results import build_report
from transfer.report.read.ablation_files import read
from transfer.report.write import latex, markdown
from transfer.report.write.data import render_ablations_csv
from transfer.report.write.forms import render_files
from transfer.tasks.detection import coco_files, voc_files
from transfer.trials.board import FAILED, Board
from transfer.trials.display import picture
from twist_common import cli
from twist_common.errors import UserError
from twist_common.images import rgb
from twist_common.printable import printable

FORMULA = '=HYPERLINK("http://evil.example","click")'
# Sets the window's title, clears the screen, moves up; the second set's CSI; turns the direction of writing.
STEERING = "\x1b]0;owned\x07\x1b[2J\x1b[A\x9b1m\u202egnp.exe\x00\x08\r"
MARKUP = "[red]x[/y] <b onload=alert(1)> [l](javascript:0) \\input{x} | $x$ `c` &amp; #1"
EVIL = f"{FORMULA} {STEERING}{MARKUP}"


def test_no_form_of_a_report_hands_on_what_steers_terminals_or_spreadsheets() -> None:
    report = build_report(
        [
            *trials([50.0, 51.0, 52.0], weights="random-resnet18"),
            *trials([60.0, 61.0, 62.5], weights=f"{FORMULA} {MARKUP}"),  # records whose names steer are refused
            failed(seed=3, error=f"-1+1 {EVIL}"),
        ]
    )
    files = {name: content.decode() for name, content in render_files(report, []).items() if not name.endswith(".png")}
    assert files.keys() == {"report.json", "report.csv", "report.tex", "report.md", "report.html"}
    for name in files.keys() - {"report.json"}:
        assert printable(files[name]) == files[name], name
        assert "HYPERLINK" in files[name]
    assert "\x1b" not in files["report.json"] and "\\u001b" in files["report.json"]
    cells = [cell for row in csv.reader(io.StringIO(files["report.csv"])) for cell in row]
    assert any(cell.startswith(f"'{FORMULA}") for cell in cells) and any(cell.startswith("'-1+1") for cell in cells)
    assert not [cell for cell in cells if re.match(r"\s*[=+@]|\s*-(?![\d.]+$)", cell)]
    assert "<b onload" not in files["report.html"] and "<b onload" not in files["report.md"]
    assert "\\input" not in files["report.tex"]
    assert FORMULA in summary_text(report)


def test_an_ablations_table_starts_no_formula() -> None:
    ablation = read(content(runs=[run(FORMULA, 0), run(FORMULA, 1, figures={}, failure="@SUM(1)")]), "x")
    rows = list(csv.DictReader(io.StringIO(render_ablations_csv([ablation]))))
    assert [row["setting"][:2] for row in rows] == ["'=", "'="] and rows[1]["failure"] == "'@SUM(1)"


def test_latex_and_markdown_show_control_characters_as_harmless_ones() -> None:
    assert latex.escape("a\x1b\x00\u202eb") == "a???b"
    assert markdown.escape("# [a](b) <c>\n| `d`") == r"\# \[a\](b) &lt;c&gt; \| \`d\`"


def test_the_table_of_a_running_suite_shows_names_as_they_are() -> None:
    board = Board([(EVIL, "demo-seg")], num_devices=1)
    board.move(EVIL, FAILED, EVIL)
    output = io.StringIO()
    Console(file=output, width=1000, color_system=None).print(picture(board, already_done=0, num_lines=20))
    assert MARKUP in output.getvalue() and printable(output.getvalue()) == output.getvalue()


def test_an_errors_sentence_reaches_the_terminal_without_its_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(args: object) -> int:
        raise UserError(f"no class {EVIL}")

    monkeypatch.setattr(cli, "_parsed", lambda *args: None)
    with pytest.raises(SystemExit):
        cli.run(object, refuse, prog=sys.argv[0])
    said = capsys.readouterr().err
    assert said == f"{printable(said)}" and FORMULA in said and MARKUP in said


def test_xml_that_grows_and_json_that_nests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grows = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    (tmp_path / "laughs.xml").write_text(f'<!DOCTYPE x [<!ENTITY a0 "ha">{grows}]><annotation>&a11;</annotation>')
    with pytest.raises(ValueError, match="no XML"):
        voc_files.read_annotation(tmp_path / "laughs.xml")
    monkeypatch.setattr(voc_files, "MAX_BYTES", 1 << 20)
    (tmp_path / "large.xml").write_bytes(b"<annotation>" + b" " * (1 << 20))
    with pytest.raises(ValueError, match="more than 1 MiB"):
        voc_files.read_annotation(tmp_path / "large.xml")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="nested"):
        coco_files.read_coco(tmp_path / "deep.json")


def test_an_image_that_grows_is_a_broken_file(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = 200_000  # 5 GB of pixels, as one bit each
    header = struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(BROKEN):
        rgb(Image.open(tmp_path / "bomb.png"))
