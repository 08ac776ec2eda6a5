"""Errors that the user can fix: one clear sentence, exit code 2, no traceback."""

from __future__ import annotations

import difflib
import errno
import os
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


# What to do about a system error, by its number.
REMEDIES = {
    errno.ENOSPC: "free some space and start the same command again",
    errno.EDQUOT: "your quota is used up: free some space and start the same command again",
    errno.EFBIG: "files may not grow larger here: raise the limit (ulimit -f) or choose another place",
    errno.EROFS: "choose a writable place",
    errno.EACCES: "change its permissions or choose another place",
    errno.EPERM: "change its permissions or choose another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files: end other programs",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "put it there, or name another",
    errno.EIO: "the disk or file server has failed: start the same command again once it works",
    errno.ESTALE: "the file server has failed: start the same command again once it works",
    errno.ETIMEDOUT: "the file server has failed: start the same command again once it works",
}
# Errors that do not mean that anything is wrong with the file that could not be read.
NOT_THE_FILES = {errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}


def is_not_the_files(error: BaseException) -> bool:
    """Whether the file that could not be read may be sound: descriptors ran out, or the file server failed."""
    return isinstance(error, OSError) and error.errno in NOT_THE_FILES


def system_sentence(error: OSError) -> str:
    """One sentence for a system error: where, what, and what to do."""
    if error.errno is None:  # safetensors says this of every file that it cannot open, even if descriptors ran out
        return f"{error}, or it cannot be opened: put it there, or raise the limit of open files (ulimit -n)"
    what = f"{error.strerror}: {REMEDIES.get(error.errno or 0, 'fix this and start the same command again')}"
    where = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename  # TensorBoard's
    return what if where is None else f"{where}: {what}"
