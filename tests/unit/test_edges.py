"""What the system refuses: full disks, limits, missing rights, no hard links; and what killed processes leave."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from pretrain.run import checkpoint
from tests.conftest import run_program
from tests.report_records import trials
from tests.unit.test_claim import dead_owner
from transfer.commands.report import write_report
from transfer.trials import process
from twist_common import curves
from twist_common.errors import UserError, system_sentence
from twist_common.files import ABANDONED_SECONDS, atomic_path, link_or_copy, temporary_name, write_text

NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A full disk, for what this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_with_torch(path: Path) -> None:
    with path.open("wb") as file:
        torch.save({"image": torch.from_numpy(NOISE)}, file)


def save_with_pickle(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump(NOISE, file)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: path.write_bytes(NOISE.tobytes()),
        lambda path: Image.fromarray(NOISE).save(path, format="png"),
        lambda path: save_file({"image": NOISE}, path),
        lambda path: np.savez(path.open("wb"), NOISE),
        save_with_torch,
        save_with_pickle,
    ],
    ids=["bytes", "pillow", "safetensors", "numpy", "torch", "pickle"],
)
def test_a_full_disk_is_an_error_with_the_path_and_the_old_file_is_kept(
    save: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with files_of_at_most(1000), pytest.raises(OSError) as raised, atomic_path(path) as temporary:
        save(temporary)
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_temporary_file_that_cannot_be_removed_does_not_hide_why_it_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "file"):
        monkeypatch.setattr(Path, "unlink", refuse)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert (raised.value.errno, raised.value.filename) == (errno.EDQUOT, str(tmp_path / "file"))


def test_an_error_that_is_not_the_systems_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^a proof failed$"), atomic_path(tmp_path / "file") as temporary:
        temporary.touch()
        raise RuntimeError("a proof failed")
    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "file") as temporary:
        raise OSError(errno.EMFILE, "Too many open files", str(temporary))
    assert raised.value.filename == str(tmp_path / "file")
    for kept, after in ((UserError, None), (RuntimeError, None), (UserError, OSError())):
        with pytest.raises(kept, match="a better word"), atomic_path(tmp_path / "file"):
            try:
                (tmp_path / "missing").read_bytes()
            except OSError:
                raise kept("a better word") from after
    with pytest.raises(FileNotFoundError) as raised, atomic_path(tmp_path / "file"):
        (tmp_path / "missing").read_bytes()
    assert raised.value.filename == str(tmp_path / "missing")


def test_a_command_says_in_one_sentence_what_the_system_refuses(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import resource, sys\n"
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n"
        "from twist_common import cli\n"
        "from twist_common.files import write_text\n"
        "@dataclass\nclass Args:\n    'Writes.'\n    out: Path\n    size: int = 10**6\n"
        "def main(args: Args) -> None:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (args.size, args.size))\n"
        "    write_text(args.out, 'x' * 2000)\n"
        "    print('done')\n"
        "cli.run(Args, main, prog='program')\n"
    )
    full = run_program(program, "--out", tmp_path / "o" / "file", "--size", "1000")
    where = tmp_path / "o" / "file"
    assert full.returncode == 1 and full.stderr.startswith(f"error: {where}: File too large: "), full.stderr
    assert full.stderr.count("\n") == 1 and list(where.parent.iterdir()) == []
    name = "x" * 300
    long = run_program(program, "--out", tmp_path / name)
    assert long.returncode == 1 and long.stderr.endswith("File name too long: choose a shorter name\n"), long.stderr
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as output:
            line = [sys.executable, program, "--out", where]
            told = subprocess.run(line, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=output,
                                  stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert told.returncode == 1 and told.stderr.count("\n") == 1 and "No space left" in told.stderr, told.stderr


def test_curves_that_cannot_be_written_are_one_error_with_their_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = curves.CurveWriter(tmp_path / "tensorboard", None)
    with files_of_at_most(10), pytest.raises(OSError) as raised:
        writer.add("step", {"loss": 1.0, "rate": 0.1}, 1)
        writer.close()
    assert raised.value.errno == errno.EFBIG and str(raised.value.filename).startswith(str(tmp_path / "tensorboard"))

    class Thread(threading.Thread):
        """As TensorBoard's is."""

    for module, is_silent in (("tensorboard.summary.writer", True), ("transfer", False)):
        Thread.__module__ = module
        curves._told_later(threading.ExceptHookArgs((OSError, OSError("full"), None, Thread())))
        assert ("full" not in capfd.readouterr().err) == is_silent


def test_a_path_in_bytes_is_a_path_in_the_sentence() -> None:
    said = system_sentence(PermissionError(errno.EACCES, "Permission denied", b"/runs/events"))
    assert said.startswith("/runs/events: Permission denied: ")


def test_a_folder_whose_name_is_not_utf8_is_refused_and_printed_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(UserError, match="has a name that is not UTF-8: choose another --out"):
        write_text(Path(name) / "file", "x")
    program = tmp_path / "program.py"
    program.write_text(
        "import dataclasses\nfrom twist_common import cli\n"
        "@dataclasses.dataclass\nclass Args:\n    'Prints.'\n    name: str\n"
        "cli.run(Args, lambda args: print(args.name), prog='program')\n"
    )
    told = run_program(program, "--name", name, PYTHONIOENCODING="utf-8:strict")
    assert told.returncode == 0 and told.stdout.endswith("caf\\udce9\n"), told.stderr


def left_by(pid: int, stem: str, suffix: str) -> str:
    return temporary_name(stem, suffix).replace(f"-{os.getpid()}.", f"-{pid}.")


def test_what_killed_processes_were_writing_is_removed_when_the_file_is_written_again(tmp_path: Path) -> None:
    dead, theirs = dead_owner().pid, tmp_path / ".report[1].elsewhere-5.tmp.html"
    left = [tmp_path / left_by(dead, "report[1]", ".html"), theirs]
    kept = [tmp_path / left_by(os.getppid(), "report[1]", ".html"), tmp_path / left_by(dead, "other", ".html")]
    for path in [*left, *kept]:
        path.touch()
    write_text(tmp_path / "report[1].html", "page")
    assert not left[0].exists() and theirs.exists()  # nobody here can know whether its process lives
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(theirs, (long_ago, long_ago))
    write_text(tmp_path / "report[1].html", "another")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "report[1].html"])


def test_without_hard_links_a_kept_checkpoint_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> NoReturn:
        raise PermissionError(errno.EPERM, "Operation not permitted")  # exFAT's, link(2)

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    checkpoint.save_and_keep(tmp_path, 2, {"epoch": 2})
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pth", "checkpoint-0002.pth"}
    assert checkpoint.load(tmp_path / "checkpoint.pth")["epoch"] == 2

    def fill(self: Path, target: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", fill)
    with pytest.raises(OSError, match="No space left"):
        link_or_copy(tmp_path / "checkpoint.pth", tmp_path / "other")


def test_a_checkpoint_to_be_kept_is_there_before_the_current_one_moves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path / "checkpoint.pth", {"epoch": 1})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "link_or_copy", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        checkpoint.save_and_keep(tmp_path, 2, {"epoch": 2})
    assert checkpoint.load(tmp_path / "checkpoint.pth")["epoch"] == 1  # resumed, it comes to epoch 2 again
    assert (tmp_path / "checkpoint-0002.pth").is_file()


def test_a_report_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    def lay(values: list[float]) -> None:
        for record in trials(values):
            record.save(tmp_path / "runs" / f"trial-{record.seed}" / "record.json")

    def report() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.glob("out/**/*") if path.is_file()}

    lay([50.0, 51.0, 52.0])
    write_report([tmp_path / "runs"], out=tmp_path / "out")
    before = report()
    lay([60.0, 61.0, 62.0])
    with files_of_at_most(len(before["report.html"]) // 2), pytest.raises(OSError, match=r"report\.html"):
        write_report([tmp_path / "runs"], out=tmp_path / "out")
    assert report() == before
    write_report([tmp_path / "runs"], out=tmp_path / "out")
    assert report().keys() == before.keys() and report()["report.html"] != before["report.html"]


def fail_on_the_disk() -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device", "/runs/weights")


def test_the_checks_own_process_hands_on_what_the_system_refuses() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process._send_result(fail_on_the_disk, (), sender)
    assert str(receiver.recv()) == "[Errno 28] No space left on device: '/runs/weights'"
