"""SIGKILL at random moments of a set-up, which is then started again until it ends.

By hand, a minute or more for each kill: ``python -m tests.faults.set_up OUT [KILLS]``. It sets up a copy of this
checkout, prints what is not as after an undisturbed set-up, and what still runs. PYTHON names the interpreter, as for
``tools/setup.sh``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

from tests.faults import drill

INSTALLER_SECONDS = 600.0  # the one of a killed set-up ends by itself


def copy_of_the_checkout(folder: Path) -> Path:
    """The tracked files, and no ``.venv``."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=drill.ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drill.ROOT / name, folder / name)
    return folder


def start(checkout: Path, *options: str) -> subprocess.Popen[bytes]:
    """A set-up in a process group of its own, whose processes :func:`tests.faults.drill.orphans` finds."""
    cache = subprocess.run([drill.ROOT / ".venv/bin/uv", "cache", "dir"], capture_output=True, text=True, check=True)
    own = {"XDG_CACHE_HOME": str(checkout / "cache"), "UV_CACHE_DIR": cache.stdout.strip()}
    line = [checkout / "tools/setup.sh", *options]
    return subprocess.Popen(line, env=os.environ | own, stderr=subprocess.DEVNULL, start_new_session=True)


def installed(checkout: Path) -> set[str]:
    """Every file of ``.venv``, but compiled ones, which come with their first import."""
    root = checkout / ".venv"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".pyc" and not path.is_dir()}


def main() -> int:
    checkout = copy_of_the_checkout(Path(sys.argv[1]).resolve() / "checkout")
    began, wrong = time.monotonic(), []
    if code := start(checkout).wait():
        print(f"undisturbed it ends with {code}")
        return 1
    seconds, whole, moments = time.monotonic() - began, installed(checkout), random.Random(0)
    print(f"undisturbed: {len(whole)} files in {seconds:.0f} s", flush=True)
    for number in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5):
        process, moment = start(checkout, "--force"), moments.uniform(0.0, seconds)
        time.sleep(moment)
        if number % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        if code := start(checkout).wait():
            wrong.append(f"killed after {moment:.1f} s and started again it ends with {code}")
        if (checkout / ".venv/.complete").exists() and installed(checkout) != whole:
            wrong.append(f"killed after {moment:.1f} s: {sorted(installed(checkout) ^ whole)[:5]} differ")
        if subprocess.run([checkout / "tools/report.sh", "--help"], stdout=subprocess.DEVNULL).returncode:
            wrong.append(f"killed after {moment:.1f} s: the tools do not run")
        with patch.object(drill, "ORPHAN_SECONDS", INSTALLER_SECONDS):
            wrong += [f"killed after {moment:.1f} s: still runs: {line}" for line in drill.orphans(checkout)]
        print(f"kill {number + 1}, after {moment:.1f} s: {len(wrong)} things wrong", flush=True)
    print("".join(f"{line}\n" for line in wrong), end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
