"""The live table under a real pseudo terminal, and the terminal after Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.trial_runs import PROGRAM, plans, processes_with

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """A program on a terminal of its own, 100 columns by 20 lines."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self.pid, self.screen = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.environ.update(PYTHONPATH=str(ROOT), TERM="xterm-256color", COLUMNS="100", LINES="20")
            os.execv(command[0], command)
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        self.written = ""

    def read_until(self, is_there: Callable[[str], object]) -> None:
        """Reads until ``is_there`` is true of all text so far; fails the test after a minute."""
        deadline = time.monotonic() + 60
        os.set_blocking(self.screen, False)
        while not is_there(self.text):
            assert time.monotonic() < deadline, self.text
            try:
                self.written += os.read(self.screen, 65536).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.05)

    def end(self) -> int:
        """Reads what is left and returns the exit code."""
        os.set_blocking(self.screen, True)
        while True:
            try:
                piece = os.read(self.screen, 65536)
            except OSError:  # how Linux says that the last process has closed the terminal
                piece = b""
            if not piece:
                os.close(self.screen)
                return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.written += piece.decode(errors="replace")

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.written)


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def test_a_terminal_shows_what_waits_runs_is_done_and_failed(tmp_path: Path, program: str) -> None:
    options = ("seed0=slow", "seed1=raise", "seed2=slow", "steps=2")
    terminal = Terminal(sys.executable, program, str(tmp_path), "9", *options, cwd=tmp_path)
    terminal.read_until(lambda text: "RuntimeError: the loss exploded" in text and "training 1/2" in text)
    (tmp_path / "runs" / "go").touch()
    assert terminal.end() == 1
    for state in ("waiting", "running", "done", "failed"):
        assert re.search(rf"faulty · random · seed \d +{state} ", terminal.text), terminal.text
    assert re.search(r"\+ \d waiting", terminal.text) and "cpu 1" in terminal.text
    assert re.search(r"done +score 18.00 in 0:0\d", terminal.text)
    assert "8 of 9 done, 1 failed, ETA" in terminal.text and "Traceback" not in terminal.text
    assert terminal.written.count(HIDE_CURSOR) == terminal.written.count(SHOW_CURSOR) == 1


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_an_interrupted_run_leaves_a_usable_terminal_and_no_process(how: str, tmp_path: Path, program: str) -> None:
    terminal = Terminal(sys.executable, program, str(tmp_path), "3", "seed0=sleep", "seed1=sleep", cwd=tmp_path)
    terminal.read_until(lambda text: text.count("training 1/2") >= 2)
    before = termios.tcgetattr(terminal.screen)
    if how == "ctrl-c":
        os.write(terminal.screen, b"\x03")
    else:
        os.kill(terminal.pid, signal.SIGTERM)
    terminal.read_until(lambda text: SHOW_CURSOR in terminal.written)
    assert termios.tcgetattr(terminal.screen) == before
    assert terminal.end() != 0
    assert terminal.written.rindex(SHOW_CURSOR) > terminal.written.rindex(HIDE_CURSOR)
    assert not processes_with(str(tmp_path / "runs"))
    left = [path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert sorted(left) == ["ledger.jsonl", "log.txt", "log.txt", "scratch", "scratch"]  # no claim, no failed record
    assert not any(plan.record_path.exists() for plan in plans(tmp_path))
