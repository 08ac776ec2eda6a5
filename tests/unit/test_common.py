"""Errors, files and overrides: what every command's behaviour with bad input rests on."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from twist_common import cli, overrides
from twist_common.cli import wrapped
from twist_common.errors import UserError, unknown_name
from twist_common.files import atomic_path, make_dir, sha256_file, sha256_text, write_text
from twist_common.progress import Pace


def test_unknown_name_suggests_the_nearest() -> None:
    message = str(unknown_name("recipe", "rn5", ["rn50", "vit_b", "demo"]))
    assert "'rn5'" in message and "did you mean 'rn50'?" in message and "vit_b" in message


def test_unknown_name_suggests_nothing_when_nothing_is_near() -> None:
    assert "did you mean" not in str(unknown_name("recipe", "zzzzzz", ["rn50"]))


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_write_text_leaves_an_equal_file_untouched(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    write_text(target, "same")
    before = target.stat().st_mtime_ns
    write_text(target, "same")
    assert target.stat().st_mtime_ns == before
    write_text(target, "other")
    assert target.read_text() == "other"


def test_make_dir_says_what_to_do_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        make_dir(tmp_path / "file" / "below")


def test_hashes_of_equal_content_are_equal(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    assert sha256_file(tmp_path / "a") == sha256_text("abc")
    assert sha256_text("abc").startswith("ba7816bf")  # FIPS 180-2, example 1


@dataclasses.dataclass(frozen=True)
class Optim:
    lr: float
    name: Literal["lars", "adamw"] = "lars"
    clip: float | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    epochs: int
    scale: tuple[float, float]
    optim: Optim
    sizes: tuple[int, ...] = (224,)
    amp: bool = False


RECIPE = Recipe(epochs=800, scale=(0.4, 1.0), optim=Optim(lr=0.5))


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("epochs=3", lambda recipe: recipe.epochs == 3),
        ("optim.lr=1e-3", lambda recipe: recipe.optim.lr == 1e-3),
        ("optim.name=adamw", lambda recipe: recipe.optim.name == "adamw"),
        ("optim.clip=3", lambda recipe: recipe.optim.clip == 3.0),
        ("optim.clip=none", lambda recipe: recipe.optim.clip is None),
        ("scale=0.14,1.0", lambda recipe: recipe.scale == (0.14, 1.0)),
        ("sizes=224,96", lambda recipe: recipe.sizes == (224, 96)),
        ("amp=true", lambda recipe: recipe.amp is True),
    ],
)
def test_overrides_are_parsed_by_their_fields_type(override: str, read) -> None:  # type: ignore[no-untyped-def]
    assert read(overrides.apply(RECIPE, [override]))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("optim.lrr=3", "did you mean 'optim.lr'"),
        ("optim.lr=fast", "optim.lr=fast.*float"),
        ("epochs=1.5", "epochs=1.5.*int"),
        ("epochs=0", "epochs is 0, it must be at least 1"),
        ("optim.lr=-1", "optim.lr is -1.0, it cannot be negative"),
        ("optim.lr=nan", "optim.lr is nan, it has to be finite"),
        ("scale=0.5,-inf", "it has to be finite"),
        ("optim=3", "group.*optim.lr"),
        ("epochs.lr=3", "no fields"),
        ("optim.name=lar", "did you mean 'lars'"),
        ("amp=yes", "true or false"),
        ("scale=0.1", "expected 2 values"),
        ("lr=0.1", "unknown setting 'lr': did you mean 'optim.lr'"),
        ("epochs", "key=value"),
    ],
)
def test_a_wrong_override_is_one_clear_sentence(override: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        overrides.apply(RECIPE, [override])
    assert "\n" not in str(raised.value)


def test_a_setting_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="the setting epochs is given twice"):
        overrides.check_once(["epochs=3", "optim.lr=1", "epochs=4"])


def test_help_is_filled_to_the_width_and_lists_keep_their_columns() -> None:
    text = """Says what
it does.

names:
  one  first of all the
       others
       --more: an option
  two  second

examples:
  tool one two three four five
  tool two"""
    assert wrapped(text, 20).splitlines() == [
        "Says what it does.",
        "",
        "names:",
        "  one  first of all",
        "       the others",
        "       --more: an",
        "       option",
        "  two  second",
        "",
        "examples:",
        "  tool one two three",
        "  four five",
        "  tool two",
    ]


def test_the_pace_forgets_the_slow_first_steps() -> None:
    pace = Pace()
    pace.add(0.0, 1)
    assert pace.seconds_per_step(10.0) is None  # the first step shows nothing
    pace.add(1.0, 2)
    assert pace.seconds_per_step(1.0) is None  # too little
    for step in range(3, 6):  # ten seconds each, as a cache fills
        pace.add(1.0 + 10.0 * (step - 2), step)
    for step in range(6, 106):
        pace.add(31.0 + 0.5 * (step - 5), step)
    assert pace.seconds_per_step(81.0) == pytest.approx(0.5, rel=0.05)
    assert pace.seconds_per_step(111.0) > 0.9  # type: ignore[operator]  # a step that hangs is seen


def test_settings_of_a_dataclass_are_overrides_that_change_nothing() -> None:
    listed = [*overrides.settings(RECIPE)]
    assert listed == ["epochs=800", "scale=0.4,1.0", "optim.lr=0.5", "optim.name=lars", "optim.clip=none", "sizes=224",
                      "amp=false"]  # fmt: skip
    assert overrides.apply(RECIPE, listed) == RECIPE


@dataclasses.dataclass
class Options:
    """Does something."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    overrides: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE ...")] = ()
    trials: int | None = None
    """how many, in words long enough for the line to end just before what comes by default, which is said by words"""
    mean: tuple[float, float, float] | None = None
    share: float = 1.0
    where: Literal["here", "there"] = "here"
    out: Path | None = None


def run_options(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["tool", *words])
    with pytest.raises(SystemExit) as ended:
        cli.run(Options, lambda args: print(args), prog="tools/tool.sh")
    assert ended.value.code == (0 if "--help" in words else 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["x", "--trials", "zero"], "--trials is 'zero', which is not a whole number"),
        (["x", "--share", "big"], "--share is 'big', which is not a number"),
        (["x", "--mean", "1", "2"], "--mean is '1 2', which is not 3 numbers"),
        (["x", "--where", "hire"], "--where cannot be 'hire': did you mean 'here'? known are here, there"),
        (["x", "--epochs", "20"], "unknown option --epochs: settings are written without dashes, epochs=20"),
        (["x", "--optim.lr=3"], "unknown option --optim.lr=3: settings are written without dashes, optim.lr=3"),
        (["x", "--trails", "3"], "unknown option --trails: did you mean --trials?"),
        (["x", "--batch-size", "3"], "unknown option --batch-size: settings are written without dashes, batch_size=3"),
        (["x", "--resume"], "unknown option --resume; tools/tool.sh --help says more"),
        (["x", "--trials"], "--trials needs a value"),
        (["x", "--trials", "2", "--trials", "3"], "--trials is given twice"),
        (["x", "--out", ""], "--out is empty: give a path, or leave it out"),
        (["x", "--out="], "--out is empty"),
        ([""], "an argument is empty"),
        ([], "NAME is missing"),
    ],
)
def test_mistakes_of_the_command_line_are_one_sentence(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_options(monkeypatch, *words)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says}") and said.count("\n") == 1


@pytest.mark.parametrize("width", [60, 72, 80])
def test_help_says_no_default_where_there_is_none(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    run_options(monkeypatch, "--help")
    shown = capsys.readouterr().out
    assert "None" not in shown and "(default: 1.0)" in shown
    assert not re.search(r"\(default:[\s│]*\)", shown)
    assert len({len(line) for line in shown.splitlines() if line.startswith(("│", "╭", "╰"))}) <= 2  # boxes are whole
