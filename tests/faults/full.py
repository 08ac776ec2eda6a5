"""Every command on file systems that are really full, over a quota, or lost while it runs.

By hand, as root on Linux, with btrfs-progs: ``python -m tests.faults.full OUT [COMMAND ...]``. OUT gets two file
systems in files: ext4, which is filled up or shut down (every call is an I/O error from then on, as when a file server
is gone), and btrfs with a limit, whose quotas hold for root too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import drill
from tests.faults.refusals import ONE_SENTENCE, Refusing, compiled

SIZE = "2G"
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/ext4.h
TIMES = int(os.environ.get("TIMES", "7"))  # limits of each file system, half as often lost


class Disk:
    """A file system in a file, mounted on a folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind, self.image = folder, kind, folder.with_suffix(".img")
        self.folder.mkdir(parents=True)
        subprocess.run(["truncate", "-s", SIZE, self.image], check=True)
        subprocess.run(
            [f"mkfs.{kind}", "-q", *(["-m", "0", "-b", "4096"] if kind == "ext4" else []), self.image],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.mount()
        self._ballast = folder / "ballast"
        if kind == "btrfs":
            self._btrfs("quota", "enable", folder)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)

    def leave(self, size: int) -> None:
        """Leaves room for so many bytes; of this file system alone, so that no other can be filled by mistake."""
        if not self.folder.is_mount():
            raise RuntimeError(f"nothing is mounted on {self.folder} any more: it is not filled up")
        if self.kind == "btrfs":
            os.sync()
            self._btrfs("qgroup", "limit", str(_used(self.folder) + size + (1 << 16)), self.folder)
            return
        with self._ballast.open("wb") as file:
            for step in (1 << 24, 1 << 20, 1 << 16, 1 << 12):  # what is allocated takes some room to note it
                with contextlib.suppress(OSError):
                    while os.statvfs(self.folder).f_bavail * 4096 >= size + step:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)

    def free(self) -> None:
        """Takes the limit away."""
        if self.kind == "btrfs":
            self._btrfs("qgroup", "limit", "none", self.folder)
        self._ballast.unlink(missing_ok=True)

    def lose(self) -> None:
        """Every call is an I/O error from now on; what was written is kept."""
        folder = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("=I", 0))
        os.close(folder)

    def find(self) -> None:
        """Mounts it again, once nobody has a file in it open."""
        for _ in range(50):
            if not subprocess.run(["umount", self.folder], stderr=subprocess.DEVNULL).returncode:
                break
            time.sleep(0.2)
        self.mount()

    def _btrfs(self, *words: str | Path) -> None:
        subprocess.run(["btrfs", *words], check=True, stdout=subprocess.DEVNULL)


def _used(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


class Full(Refusing):
    """Runs one command on such file systems."""

    def _once(self, disk: Disk, where: str, meanwhile: Callable[[], None], *, may_clean: bool) -> None:
        folder, log = disk.folder / "refused", self.out / "stderr.txt"
        with log.open("w") as stderr:
            process = drill.start(self.command, folder, stderr)
            meanwhile()
            code = process.wait()
        self.refused += 1
        if not may_clean:
            disk.find()
        self.judge(where, folder, code, log.read_text(errors="replace"), ONE_SENTENCE)
        if may_clean:
            self.look_for_left(folder, where)
            disk.free()
        self.start_again(where, folder)
        shutil.rmtree(folder)

    def fill(self, disk: Disk) -> None:
        """With room for a part of what it writes."""
        size = _used(self.out / "whole")
        for part in (0.98 * each / (TIMES - 1) for each in range(TIMES)):
            (disk.folder / "refused").mkdir()
            disk.leave(int(part * size))
            self._once(disk, f"{disk.kind} with room for {part:.0%} of {size} bytes", lambda: None, may_clean=True)

    def lose(self, disk: Disk, seconds: float) -> None:
        """With the file system gone after a part of its time."""
        draw = random.Random(0)
        for after in sorted(draw.uniform(0.2, 1.0) * seconds for _ in range(TIMES // 2)):

            def meanwhile(after: float = after) -> None:
                time.sleep(after)
                disk.lose()

            self._once(disk, f"{disk.kind} lost after {after:.1f} of {seconds:.1f} s", meanwhile, may_clean=False)


def main() -> int:
    out = Path(sys.argv[1]).resolve()
    every, wrong = drill.commands_with_inputs(out / "inputs"), 0
    library = compiled(out)
    disks = [Disk(out / kind, kind) for kind in ("ext4", "btrfs")]
    try:
        for name, command in every.items():
            if sys.argv[2:] and name not in sys.argv[2:]:
                continue
            began = time.monotonic()
            full = Full(command, out / name, library)
            seconds = time.monotonic() - began
            for disk in disks:
                full.fill(disk)
                full.tell(name)
            full.lose(disks[0], seconds)
            full.tell(name)
            wrong += len(full.wrong)
    finally:
        for disk in disks:
            disk.unmount()
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
