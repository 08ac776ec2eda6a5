"""The processes in which trials run: forked from a server that has imported the frameworks once.

The frameworks take 6 to 8 seconds to import. A trial that is forked is still one process, one seed, one record, without
the wait.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from common.cli import EXIT_BAD_USE
from common.errors import UserError
from common.process import process_start
from transfer.task import task_of
from transfer.trials.devices import VISIBLE
from transfer.trials.plan import TrialPlan
from transfer.trials.run_one import TakenError, run_or_find

DEATH_SECONDS = 5.0  # a killed process is gone when its memory is freed, which takes a moment
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# An address of a Unix socket has 107 bytes (unix(7)), and multiprocessing adds /pymp-XXXXXXXX/listener-XXXXXXXX.
MAX_TEMPORARY_FOLDER = 107 - 32
Result = TypeVar("Result")


def fork_server(plans: Sequence[TrialPlan]) -> Any:
    """The multiprocessing context whose server imports the plans' frameworks once, for processes forked from it.

    Raises:
        UserError: the folder for temporary files has too long a name for the server's socket.
    """
    _check_temporary_folder()
    if plans[0].device == "cpu":
        for variable in THREAD_VARIABLES:  # the same sums in the same order on every machine, and no spinning threads
            os.environ[variable] = "1"
    else:
        # MMEngine asks for GPUs when it is imported. PyTorch would initialise CUDA to answer, and a forked trial could
        # use none; so it asks the driver's library (PyTorch's documentation of CUDA environment variables).
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({task_of(plan.benchmark).preload for plan in plans}))
    return context


def _check_temporary_folder() -> None:
    folder = tempfile.gettempdir()
    size = len(os.fsencode(folder))
    if size > MAX_TEMPORARY_FOLDER:
        raise UserError(
            f"the folder for temporary files, {folder}, has a name of {size} bytes, too long for sockets in it: "
            f"set TMPDIR to one of at most {MAX_TEMPORARY_FOLDER}"
        )


def start(context: Any, plan: TrialPlan, gpus: Sequence[str]) -> tuple[Any, Connection]:
    """Starts the trial in a process of its own.

    Returns:
        The process, and what it tells: ``("progress", (done, total, what))`` any number of times, then one of
        ``("done", result)``, ``("failed", reason)``, ``("user error", sentence)``, ``("taken", by whom)``,
        ``("recorded", "")`` where another process has just done it.
    """
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_trial, args=(plan, tuple(gpus), sender))
    process.start()
    sender.close()  # so that the pipe ends when the trial's process does
    return process, receiver


def kill(process: Any) -> None:
    """Ends a trial's process with all that it started, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not have made its group yet
    process.join()
    # If the fork server was killed too, as by a scheduler, nobody has told when the process was gone.
    deadline = time.monotonic() + DEATH_SECONDS
    while process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)


def call(context: Any, function: Callable[..., Result], *arguments: Any, gpus: Sequence[str] = ()) -> Result:
    """Calls ``function(*arguments)`` in a forked process and returns its result.

    Raises:
        UserError: as the function; or the process was killed.
    """
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(function, arguments, tuple(gpus), sender))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise UserError(
            f"the process that should {function.__name__} was killed: start the same command again"
        ) from None
    process.join()
    if isinstance(result, UserError):
        raise result
    return result


def _call(function: Callable[..., Any], arguments: Sequence[Any], gpus: Sequence[str], result: Connection) -> None:
    belong_to_runner(gpus)
    content: object
    try:
        content = function(*arguments)
    except UserError as error:
        content = error
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        result.send(content)


def _trial(plan: TrialPlan, gpus: Sequence[str], messages: Connection) -> None:
    belong_to_runner(gpus)
    try:
        record, ran_here = run_or_find(plan, lambda *step: _tell(messages, "progress", step))
    except TakenError as error:
        _tell(messages, "taken", str(error))
        return
    except UserError as error:
        _tell(messages, "user error", str(error))
        sys.exit(EXIT_BAD_USE)
    if not ran_here:
        _tell(messages, "recorded", "")
        return
    main = record.metrics.get(plan.benchmark.main_metric)
    result = f"{plan.benchmark.main_metric} {main.value:.2f}" if main else ""
    _tell(messages, record.status, record.error or result)


def _tell(messages: Connection, kind: str, content: Any) -> None:
    try:
        messages.send((kind, content))
    except BrokenPipeError:  # the runner is gone; that is no failure of the trial
        _end_group()


def belong_to_runner(gpus: Sequence[str]) -> None:
    """What every forked process does first: it ends with the runner, and sees no GPU but its own.

    A killed run must not leave trials behind that go on beside those of the next one. The fork server lives as long as
    any trial does, so it is the runner itself whose end is watched.
    """
    os.setpgrp()  # Ctrl-C is the runner's alone: it then ends the trials
    if gpus:
        os.environ[VISIBLE] = ",".join(gpus)  # before CUDA is initialised, here and in processes that this one starts
    runner = multiprocessing.parent_process()
    assert runner is not None, "a trial runs in a process of its own"

    def watch() -> None:
        wait([runner.sentinel])
        _end_group()

    threading.Thread(target=watch, daemon=True).start()


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM unwinds the block as Ctrl-C does, so that a terminal and the trials are left in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # schedulers send it again and again; the first unwinds undisturbed
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
