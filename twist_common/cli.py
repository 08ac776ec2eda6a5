"""Command lines: typed dataclasses through tyro, and the exit codes that every command keeps."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from twist_common.errors import UserError, system_sentence
from twist_common.mistakes import one_sentence, slip, without_empty_defaults
from twist_common.printable import printable

Args = TypeVar("Args")

EXIT_DONE = 0
EXIT_TRIAL_FAILED = 1
EXIT_BAD_USE = 2

SCRIPT = "twist-transfer"  # what the wheel installs
INSTALLED = "TWIST_TRANSFER_INSTALLED"  # set by it, for all processes of the command


def run(args_type: type[Args], main: Callable[[Args], int | None], prog: str, **lists: str) -> None:
    """Parses ``sys.argv`` into ``args_type``, calls ``main`` and exits with its code (None is 0).

    The dataclass's docstring and its fields' comments become the text of ``--help``. A :class:`UserError` is printed as
    one sentence and exits with 2; a system error (a full disk, a missing permission) likewise with 1.

    Args:
        args_type: a dataclass; positional fields are marked with ``tyro.conf.Positional``.
        main: does the work.
        prog: the command as the user typed it, e.g. ``"tools/report.sh"``.
        lists: the text for each line ``{name}`` of the docstring, e.g. a table to be shown by ``--help``.
    """
    prog, description = as_typed(prog), as_typed(inspect.getdoc(args_type) or "")
    for name, text in lists.items():
        description = description.replace(f"{{{name}}}", text)
    description = _AsItIs(wrapped(description, shutil.get_terminal_size().columns))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        code = main(_parsed(args_type, prog, description))
        sys.stdout.flush()
    except UserError as error:
        print(as_typed(f"error: {printable(str(error))}"), file=sys.stderr)
        code = EXIT_BAD_USE
    except BrokenPipeError:  # the reader (head, less) has had enough; nothing is left to say to it
        _say_no_more()
        code = EXIT_DONE
    except OSError as error:
        if error.errno is None and not isinstance(error, FileNotFoundError):  # Pillow's and others': not the system's
            raise
        print(f"error: {printable(system_sentence(error))}", file=sys.stderr)
        _say_no_more()  # the output itself may be what cannot be written
        code = EXIT_TRIAL_FAILED
    except KeyboardInterrupt:
        print("interrupted: start the same command again to resume", file=sys.stderr)
        code = 130
    sys.exit(code or EXIT_DONE)


def _say_no_more() -> None:
    """Discards output that is not written yet; otherwise Python would fail on it again when it exits."""
    number = sys.stdout.fileno()
    os.close(number)  # first: there may be no other descriptor
    if (nowhere := os.open(os.devnull, os.O_WRONLY)) != number:
        os.dup2(nowhere, number)


def _parsed(args_type: type[Args], prog: str, description: str) -> Args:
    """The command line as an instance of ``args_type``; ``--help`` is printed, and ends the process.

    Raises:
        UserError: it cannot be read.
    """
    import tyro

    if said_wrong := slip(sys.argv[1:], args_type):
        raise UserError(said_wrong)
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    wants_help = not {"-h", "--help"}.isdisjoint(sys.argv)
    encoding = sys.stdout.encoding if wants_help else "utf-8"  # tyro draws its boxes with what the encoding has
    shown, said = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            return tyro.cli(args_type, prog=prog, description=description, config=config)
    except SystemExit as stop:
        if stop.code:
            raise UserError(one_sentence(_text(said), args_type, prog)) from None
        lines = without_empty_defaults(_text(shown)).splitlines(keepends=True)
        sys.stdout.write("".join(_in_box(line, as_typed(line)) for line in lines))
        raise


def _in_box(line: str, changed: str) -> str:
    """The changed line of a box, whose right side stays where it was, as far as there are spaces before it."""
    found = re.fullmatch(r"([│|].*?\S)( +)([│|]\n)", changed)
    if not found:
        return changed
    spaces = len(found[2]) + len(line) - len(changed)
    return f"{found[1]}{' ' * max(spaces, 1)}{found[3]}"


def _text(written: io.TextIOWrapper) -> str:
    written.seek(0)
    return written.read()


def as_typed(text: str) -> str:
    """The text with commands as this user types them: ``tools/suite.sh``, or ``twist-transfer suite`` if installed."""
    if not os.environ.get(INSTALLED):
        return text
    return re.sub(
        r"tools/(?!setup|test|bench|slurm_local|preflight)(?:transfer_)?(\w+)\.sh",
        lambda tool: f"{SCRIPT} {tool[1].replace('_', '-')}",
        text,
    )


class _AsItIs(str):
    """A text whose line breaks tyro keeps: it splits descriptions at them, and joins lines that begin with a letter."""

    def split(self, *args: Any, **options: Any) -> list[str]:
        return [str(self)]


def wrapped(text: str, width: int) -> str:
    """The text wrapped to lines of at most ``width`` characters, unless a word is longer.

    Prose is refilled, and so are items of lists, ``"  name   what it is"``, whose continuation lines are indented to
    the beginning of their text. Other indented lines, and those below an item that begin with a dash, are kept.
    """
    item = re.compile(r" +\S+ {2,}")
    lines: list[str] = []
    for line in text.splitlines():
        above = lines[-1] if lines else ""
        start = found.end() if (found := item.match(above)) else 0
        continues_item = start > 0 and line[:start].isspace() and line[start : start + 1] not in ("", " ", "-")
        continues_prose = line[:1].strip() and above[:1].strip() and not above.endswith(":")
        if continues_item or continues_prose:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    filled = []
    for line in lines:
        found = item.match(line) or re.match(r" *", line)
        indent = " " * found.end() if found else ""
        filled += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(filled)
