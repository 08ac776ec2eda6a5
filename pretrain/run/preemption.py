"""Requests to stop: on SIGTERM from a scheduler or a terminal, the run writes a checkpoint at the end of the step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from twist_common.process import STOP_SIGNALS

EXIT_PREEMPTED = 128 + signal.SIGTERM  # what a shell reports for a program ended by SIGTERM


class Preempted(Exception):  # noqa: N818 - not an error: the run resumes when it is started again
    """The run was asked to stop and has written its checkpoint; the message says at which step."""


class StopRequest:
    """Whether this process was asked to stop."""

    is_made = False


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turns :data:`twist_common.process.STOP_SIGNALS` into a :class:`StopRequest` for as long as the context lasts.

    Further signals change nothing: the checkpoint is already on its way. SIGKILL, which schedulers send after a grace
    period, only loses the progress since the last checkpoint.
    """
    request = StopRequest()

    def make(number: int, frame: FrameType | None) -> None:
        request.is_made = True

    before = {number: signal.signal(number, make) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
