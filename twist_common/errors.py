"""Errors that the user can mend: one clear sentence, exit code 2, no traceback."""

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


# What to do about an error of the system's, by its number.
REMEDIES = {
    errno.ENOSPC: "free some space and start the same command again",
    errno.EDQUOT: "your quota is used up: free some space and start the same command again",
    errno.EFBIG: "a file may not become larger here: raise the limit (ulimit -f) or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "change its permissions or choose another place",
    errno.EPERM: "change its permissions or choose another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has no more open files to give: end other programs",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "put it there, or name another",
    errno.EIO: "the disk or file server is at fault: start the same command again when it is mended",
    errno.ESTALE: "the file server is at fault: start the same command again when it is mended",
    errno.ETIMEDOUT: "the file server is at fault: start the same command again when it is mended",
}
# Those that say nothing about the file that could not be read.
NOT_THE_FILES = {errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}


def is_not_the_files(error: BaseException) -> bool:
    """Whether a file could not be read for want of descriptors or of a file server: it may be as sound as any."""
    return isinstance(error, OSError) and error.errno in NOT_THE_FILES


def system_sentence(error: OSError) -> str:
    """One sentence for an error of the system's: where, what, and what to do."""
    if error.errno is None:  # safetensors says so of every file that it cannot open, also for want of descriptors
        return f"{error}, or it cannot be opened: put it there, or raise the limit of open files (ulimit -n)"
    what = f"{error.strerror}: {REMEDIES.get(error.errno or 0, 'mend it and start the same command again')}"
    where = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename  # TensorBoard's
    return what if where is None else f"{where}: {what}"
