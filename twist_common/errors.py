"""Errors that the user can mend: one clear sentence, exit code 2, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the command, its input files or its data.

    The message is one sentence that says what is wrong, where, and what to do.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest known name as a suggestion.

    Args:
        kind: what the name should have been, e.g. ``"benchmark"``.
        name: what the user typed.
        known: every valid name.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    return UserError(f"unknown {kind} {name!r}: {suggestion}known are {', '.join(known)}")
