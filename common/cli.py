"""Command lines: typed dataclasses through tyro, and the exit codes that every command keeps."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from common.errors import UserError

Args = TypeVar("Args")

EXIT_DONE = 0
EXIT_TRIAL_FAILED = 1
EXIT_BAD_USE = 2


def run(args_type: type[Args], main: Callable[[Args], int | None], prog: str, **lists: str) -> None:
    """Parses ``sys.argv`` into ``args_type``, calls ``main`` and exits with its code (None is 0).

    The dataclass's docstring and its fields' comments become the text of ``--help``. A
    :class:`UserError` is printed as one sentence and exits with 2.

    Args:
        args_type: a dataclass; positional fields are marked with ``tyro.conf.Positional``.
        main: does the work.
        prog: the command as the user typed it, e.g. ``"tools/report.sh"``.
        lists: text for each ``{name}`` that is a line of the docstring, e.g. of tables that ``--help`` shows.
    """
    import tyro

    description = inspect.getdoc(args_type) or ""
    for name, text in lists.items():
        description = description.replace(f"{{{name}}}", text)
    args = tyro.cli(args_type, prog=prog, description=description, config=(tyro.conf.OmitArgPrefixes,))
    try:
        code = main(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_BAD_USE
    except BrokenPipeError:  # the reader (head, less) has had enough; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_DONE
    except KeyboardInterrupt:
        print("interrupted: start the same command again to resume", file=sys.stderr)
        code = 130
    sys.exit(code or EXIT_DONE)
