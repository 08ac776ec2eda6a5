"""The processes in which trials run: forked from a server that has imported the frameworks once.

The frameworks take 6 to 8 seconds to import. A forked trial is still one process, one seed, one record, without the
wait.
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

from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from transfer.trials.run_one import TakenError, run_trial
from twist_common.cli import EXIT_BAD_USE, EXIT_TRIAL_FAILED
from twist_common.errors import UserError, system_sentence
from twist_common.gpus import VISIBLE
from twist_common.process import process_start, without_main

DEATH_SECONDS = 5.0  # a killed process is gone once its memory is freed, which takes a moment
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# The address of a Unix socket has at most 107 bytes (unix(7)); multiprocessing adds /pymp-XXXXXXXX/listener-XXXXXXXX.
MAX_TEMPORARY_FOLDER = 107 - 32
Result = TypeVar("Result")


def fork_server(plans: Sequence[TrialPlan]) -> Any:
    """The multiprocessing context whose server imports the plans' frameworks once, for processes forked from it.

    Raises:
        UserError: the name of the folder for temporary files is too long for the server's socket.
    """
    folder = tempfile.gettempdir()
    if (size := len(os.fsencode(folder))) > MAX_TEMPORARY_FOLDER:
        raise UserError(
            f"the folder for temporary files, {folder}, has a name of {size} bytes, too long for sockets in it: "
            f"set TMPDIR to one of at most {MAX_TEMPORARY_FOLDER}"
        )
    if plans[0].device == "cpu":
        for variable in THREAD_VARIABLES:  # the same sums in the same order on every machine, and no spinning threads
            os.environ[variable] = "1"
    else:
        # MMEngine asks for GPUs when it is imported. PyTorch would initialise CUDA to answer, and a forked trial could
        # not use CUDA then; with this it asks the driver's library (PyTorch's documentation of CUDA environment
        # variables).
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    context = multiprocessing.get_context("forkserver")
    frameworks = sorted({task_of(plan.benchmark).preload for plan in plans})
    context.set_forkserver_preload(["transfer.trials.gc_off", *frameworks, "transfer.trials.gc_frozen"])
    return context


def start(
    context: Any, function: Callable[..., object], *arguments: object, gpus: Sequence[str] = ()
) -> tuple[Any, Connection]:
    """Starts ``function(*arguments, messages)`` in a forked process that ends with this one.

    Args:
        context: of :func:`fork_server`.
        function: importable by name; it may send through the connection ``messages``.
        gpus: the only ones that the process sees; none given: those that this process sees.

    Returns:
        The process, and the connection that receives its messages.
    """
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_in_fork, args=(function, arguments, tuple(gpus), sender))
    with without_main():
        process.start()
    sender.close()  # so that the connection ends when the process does
    return process, receiver


def kill(process: Any) -> None:
    """Ends a forked process and everything that it started, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not have made its group yet
    process.join()
    # If the fork server was killed too, as a scheduler would, nobody has reported the end of the process.
    deadline = time.monotonic() + DEATH_SECONDS
    while process_start(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)


def call(context: Any, function: Callable[..., Result], *arguments: Any, gpus: Sequence[str] = ()) -> Result:
    """Calls ``function(*arguments)`` in a forked process and returns its result.

    Raises:
        UserError: raised by the function, or the process was killed.
        OSError: raised by the function.
    """
    process, messages = start(context, _send_result, function, arguments, gpus=gpus)
    try:
        result = messages.recv()
    except EOFError:
        raise UserError(
            f"the process that should {function.__name__} was killed: start the same command again"
        ) from None
    process.join()
    if isinstance(result, UserError | OSError):
        raise result
    return result


def _send_result(function: Callable[..., Any], arguments: Sequence[Any], messages: Connection) -> None:
    content: object
    try:
        content = function(*arguments)
    except (UserError, OSError) as error:
        content = error
    with contextlib.suppress(BrokenPipeError):  # nobody is waiting for it any more
        messages.send(content)


def trial_process(plan: TrialPlan, messages: Connection) -> None:
    """Runs a trial; for :func:`start`.

    Sends ``("progress", (done, total, what))`` any number of times, then one of ``("done", result)``,
    ``("failed", reason)``, ``("refused", sentence)``, ``("taken", by whom)``, or ``("done elsewhere", by whom)`` where
    another process has just run the trial.
    """

    def send(kind: str, content: Any) -> None:
        try:
            messages.send((kind, content))
        except BrokenPipeError:  # the runner is gone, which is no failure of the trial
            _end_group()

    try:
        record, ran_here = run_trial(plan, lambda *step: send("progress", step))
    except TakenError as error:
        send("taken", str(error))
    except UserError as error:
        send("refused", str(error))
        sys.exit(EXIT_BAD_USE)
    except OSError as error:  # not even a failed record could be written
        send("refused", system_sentence(error))
        sys.exit(EXIT_TRIAL_FAILED)
    else:
        if ran_here:
            send(record.status, record.error or plan.main_result(record))
        else:
            send("done elsewhere", "by another runner")


def _in_fork(
    function: Callable[..., object], arguments: Sequence[object], gpus: Sequence[str], messages: Connection
) -> None:
    """What a forked process runs: it ends with the runner, and sees no GPUs but its own.

    A killed run must not leave trials behind that continue beside those of the next one. The fork server lives as long
    as any trial does, so it is the runner itself whose end is watched for.
    """
    os.setpgrp()  # Ctrl-C is the runner's alone: the runner then ends the trials
    if gpus:
        os.environ[VISIBLE] = ",".join(gpus)  # before CUDA is initialised, here and in processes that this one starts
    runner = multiprocessing.parent_process()
    assert runner is not None, "a trial runs in a process of its own"

    def watch() -> None:
        wait([runner.sentinel])
        _end_group()

    threading.Thread(target=watch, daemon=True).start()
    function(*arguments, messages)


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Makes SIGTERM unwind the block as Ctrl-C does, so that terminal and trials are left in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # schedulers send it repeatedly; the first one unwinds undisturbed
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
