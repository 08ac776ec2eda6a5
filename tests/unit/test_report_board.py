"""A board shows what holds and names what does not; the same folder gives the same bytes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.report_records import NASTY, done, failed, folder_of, save, trials
from transfer.commands.report import Args, main
from transfer.record import Metric
from transfer.report.write.board import board_faults, render_board, write_board
from twist_common.errors import UserError

TWIST = [*trials([60.0, 61.0, 62.5]), failed(seed=3)]


def test_rows_are_sorted_by_mean_on_protocol_first_with_links_that_lead_to_the_files(tmp_path: Path) -> None:
    off = done(99.0, weights="short", protocol_difference=["max_iters: 200 -> 20"])
    save([*trials([70.0, 71.0, 72.0], weights="moco b#?%"), *TWIST, off], tmp_path / "lab a")
    (tmp_path / "lab a" / "report.html").write_text("the lab's report")
    board, page = write_board(tmp_path)
    [group] = board.groups
    assert [row.label for row in group.rows] == ["moco b#?%", "twist", "short"]
    assert [row.figure for row in group.rows] == ["71.00 ± 1.00 (3)", "61.17 ± 1.26 (3 of 4)", "99.00 (1)"]
    assert group.rows[2].standing == "off protocol" and "max_iters: 200 -> 20" in group.rows[2].protocol
    assert [link.text for link in group.rows[1].records] == ["0", "1", "2", "3 (failed)"]
    links = [unquote(each) for each in re.findall(r'href="(\./[^"]*)"', page.read_text())]
    assert len(links) == 8 + 3 and all((tmp_path / link).is_file() for link in links)


def test_where_lower_is_better_the_lowest_comes_first(tmp_path: Path) -> None:
    def rmse(value: float, weights: str) -> None:
        metrics = {"rmse": Metric(value=value, direction="lower")}
        save([done(1.0, weights=weights, benchmark="of-a-lab", metrics=metrics)], tmp_path)

    rmse(40.0, "worse")
    rmse(30.0, "better")
    [group] = render_board(tmp_path)[0].groups
    assert [row.label for row in group.rows] == ["better", "worse"]
    assert "lower is better" in group.heading


def test_archives_are_rows_too_and_the_same_trial_counts_once(tmp_path: Path) -> None:
    runs = save(TWIST, tmp_path / "runs")
    board = tmp_path / "board"
    save(TWIST[:2], board / "copy")
    main(Args(runs=(runs,), pack=board / "lab.tar.gz"))
    [group] = render_board(board)[0].groups
    [row] = group.rows
    assert row.figure == "61.17 ± 1.26 (3 of 4)"
    assert [link.href.split("/")[1] for link in row.records] == ["copy", "copy", "lab.tar.gz", "lab.tar.gz"]
    assert [link.text for link in row.reports] == ["archive"]


def damaged(folder: Path) -> dict[str, Path]:
    """What each thing that does not hold is called on the page."""
    save(trials([70.0, 71.0, 72.0], weights="moco"), folder)
    files = {each: folder_of(done(0.0, weights="moco", seed=each), folder) / "record.json" for each in range(3)}
    files[0].write_text(files[0].read_text().replace("70.0", "90.0"))
    files[1].write_text("{")
    shutil.copytree(files[2].parent, folder / "mirror" / "trial-2")
    copy = done(10.0, weights="moco", seed=2, inputs_sha256="0" * 64)
    copy.save(folder / "mirror" / "trial-2" / "record.json")
    (folder / "bad.tar.gz").write_bytes(b"no archive")
    first = done(33.0, weights="copied", inputs_sha256="1" * 64)
    save([first, done(33.0, weights="copied", seed=1, wall_seconds=first.wall_seconds)], folder)
    (folder / "ledger.jsonl").write_text("no ledger\n")
    return {
        "its content is not that of its seal": files[0],
        "is not a trial record": files[1],
        "are the same trial": files[2],
        "cannot read bad.tar.gz": folder / "bad.tar.gz",
        "those of seed 0, a copy": folder,
        "ledger.jsonl": folder / "ledger.jsonl",
    }


def test_what_does_not_hold_is_named_and_in_no_row(tmp_path: Path) -> None:
    expected = damaged(tmp_path)
    save(TWIST, tmp_path)
    board, text = render_board(tmp_path)
    assert [(row.label, len(row.records)) for row in board.rows] == [("twist", 4), ("copied", 1)]
    for words in expected:
        assert sum(words in line for line in board.left_out) == 1, (words, board.left_out)
    assert len(board.left_out) == len(expected)
    assert str(tmp_path) not in text


def test_a_file_beside_a_record_that_is_not_the_trials_takes_it_off_the_board(tmp_path: Path) -> None:
    save([done(60.0, files={"outcomes.npz": "0" * 64}), done(61.0, seed=1)], tmp_path)
    (folder_of(TWIST[0], tmp_path) / "outcomes.npz").write_bytes(b"others")
    board, _ = render_board(tmp_path)
    assert [row.figure for row in board.rows] == ["61.00 (1)"]
    assert "outcomes.npz beside" in board.left_out[0]


def test_a_record_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    save(TWIST, tmp_path / "board")
    outside = save([done(99.0, weights="elsewhere")], tmp_path / "outside")
    link = tmp_path / "board" / "linked" / "record.json"
    link.parent.mkdir()
    link.symlink_to(next(outside.rglob("record.json")))
    board, _ = render_board(tmp_path / "board")
    assert [row.label for row in board.rows] == ["twist"] and "leads out of" in board.left_out[0]


def test_the_same_records_give_the_same_bytes_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    monkeypatch.chdir(tmp_path)
    texts = {render_board(folder)[1] for folder in (tmp_path / "first", Path("second"), Path("second/../first"))}
    assert len(texts) == 1


def test_names_are_text_and_never_markup_or_an_address_with_a_scheme(tmp_path: Path) -> None:
    named = [NASTY, "javascript:alert(1)", '" onmouseover="alert(1)']
    save([done(50.0, weights=name, suite="javascript:a") for name in named], tmp_path)
    _, text = render_board(tmp_path)
    assert "<script>alert" not in text and 'onmouseover="' not in text
    assert all(each.startswith(("./", "#")) for each in re.findall(r'href="([^"]*)"', text))


def test_verify_renders_the_board_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(TWIST, tmp_path)
    assert main(Args(runs=(), board=tmp_path)) == 0
    page = tmp_path / "board.html"
    assert main(Args(runs=(), verify=page)) == 0 and board_faults(page) == []
    page.write_text(page.read_text().replace("61.17", "91.17"))
    assert main(Args(runs=(), verify=page)) == 1
    assert "not what the records give" in capsys.readouterr().out
    write_board(tmp_path)
    damaged(tmp_path)
    assert main(Args(runs=(), verify=page)) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"board": Path("absent")}, "is not a folder"),
        ({"board": Path()}, "no record.json and no archive"),
        ({"board": Path(), "runs": (Path("runs"),)}, "goes with no other option"),
    ],
)
def test_bad_use_is_one_sentence(
    args: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        main(Args(**{"runs": (), **args}))  # type: ignore[arg-type]
