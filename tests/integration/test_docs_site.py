"""The documentation: the site builds, every command in it is run by a test or says what it needs, messages are real."""

from __future__ import annotations

import ast
import html
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from transfer.commands.main import COMMANDS
from twist_common import cli

DOCS = sorted((ROOT / "docs").glob("*.md"))
RUN_ELSEWHERE = ("checkpoints.md", "own_data.md")  # each command of theirs by a test of its own
BLOCK = re.compile(r"^( *)```(?:bash|console)(?: title=\"(.+?)\")?\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def blocks(pages: Sequence[Path] = DOCS) -> list[tuple[str, str | None, str]]:
    """Page, title and text of each block of commands."""
    return [
        (page.name, match[2], match[3]) for page in pages for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def commands(text: str) -> list[list[str]]:
    """The lines that start a tool of ours, as words."""
    lines = [line.strip().removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("tools/")]


UNTITLED = [each for each in blocks() if each[1] is None and each[0] not in RUN_ELSEWHERE]


def test_the_site_builds_strictly_and_asks_no_network(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", tmp_path / "site"]
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/api/index.html").read_text(encoding="utf-8")
    assert "transfer.api.run_trials" in reference and "transfer.record.TrialRecord" in reference
    assert ":class:" not in reference
    assert 'href="packages/weights/"' in (tmp_path / "site/index.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation() -> None:
    shown = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert {page.name for page in DOCS} <= set(shown)


@pytest.mark.parametrize("words", [words for _, _, text in UNTITLED for words in commands(text)], ids=" ".join)
def test_a_command_that_needs_nothing_runs(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([ROOT / words[0], *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


SHELL = ("setup", "demo", "test", "slurm_local")  # tools that read their options themselves
OTHERS = {"preflight": "tools.first_hour.main"}
TYPED = {" ".join(words): words for _, _, text in blocks((*DOCS, ROOT / "README.md")) for words in commands(text)}


@pytest.mark.parametrize("line", TYPED)
def test_a_command_is_read_as_it_is_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, read = Path(TYPED[line][0]).stem, []
    if name in SHELL:
        shown = (ROOT / f"tools/{name}.sh").read_text(encoding="utf-8")
        assert [word for word in TYPED[line][1:] if not word.startswith("/") and word not in shown] == []
        return
    command = name.removeprefix("transfer_").replace("_", "-")
    module = importlib.import_module(COMMANDS[command][0] if command in COMMANDS else OTHERS[name])
    monkeypatch.setattr(sys, "argv", TYPED[line])
    monkeypatch.setattr(cli, "run", lambda kind, main, prog, **lists: read.append(cli._parsed(kind, prog, "")))
    module.run()
    assert len(read) == 1


def templates() -> set[str]:
    """Every text of the sources, with … for what is put in."""
    found = set()
    for path in (
        each for package in ("pretrain", "transfer", "twist_common") for each in (ROOT / package).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_no_page_has_a_word_that_a_browser_takes_for_a_tag_nor_a_column_without_a_title() -> None:
    pages = [*DOCS, *ROOT.glob("*.md"), *ROOT.glob("transfer/**/README.md"), ROOT / "pretrain/README.md"]
    for page in pages:
        text = re.sub(
            r"^ *(?:> )?```.*?^ *(?:> )?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        tags = re.findall(
            r"<(?!/?(?:br|details|summary|b)\b|!--|https?:)[A-Za-z/][^>\n]*>", re.sub(r"`[^`\n]*`", "", text)
        )
        assert tags == [], f"{page.name}: write &lt; for <"
        if page.name != "log.md":
            assert not re.findall(r"^\|(?:.*\|)? +\|.*\n\|[-:| ]+\|$", text, re.MULTILINE), (
                f"{page.name}: an empty title"
            )


def test_every_message_of_the_page_on_trouble_is_one_of_the_sources() -> None:
    page = html.unescape((ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"))
    messages = re.findall(r"^> (.+(?:\n> .+)*)", page, re.MULTILINE)
    assert len(messages) > 10
    texts = templates()
    assert [each for each in messages if not any(each.removeprefix("… ") in text for text in texts)] == []


def test_the_notebook_runs(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    [figures] = [output for output in shown if "'converted':" in output.get("data", {}).get("text/plain", "")]
    random, converted = re.findall(r": ([\d.]+)", figures["data"]["text/plain"])
    assert float(random) == float(converted) > 10, "the same network gives the same figures"
    assert (tmp_path / "notebook-work/runs/report.html").is_file()
