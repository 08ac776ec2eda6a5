"""Breaks each safeguard in a copy of the code, and says whether a test fails: ``python -m tests.faults.mutations``.

Words after it choose safeguards whose name contains one of them. 1 if a mutation survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.safeguards import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("pretrain", "transfer", "twist_common", "twist_configs", "tests", "tools", "pyproject.toml", "docs")
LIMIT_SECONDS = 600.0  # a test that hangs has noticed, too


def is_caught(mutation: Mutation, copy: Path) -> bool:
    """Whether a test fails in the copy while the mutation is in it."""
    path = copy / mutation.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutation.before, mutation.after), encoding="utf-8")
    try:
        return not tests_pass(mutation.tests.split(), copy)
    finally:
        path.write_text(original, encoding="utf-8")


def tests_pass(tests: list[str], copy: Path) -> bool:
    """Whether these tests pass on the code of the copy."""
    line = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        return not subprocess.run(
            line, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    chosen = [each for each in MUTATIONS if not sys.argv[1:] or any(word in each.safeguard for word in sys.argv[1:])]
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        print("| Safeguard | Broken in | Noticed | s |\n|---|---|---|---:|")
        for mutation in chosen:
            began = time.monotonic()
            caught = is_caught(mutation, Path(folder))
            survived += not caught
            seconds = time.monotonic() - began
            print(
                f"| {mutation.safeguard} | {mutation.file} | {'yes' if caught else '**no**'} | {seconds:.0f} |",
                flush=True,
            )
    print(f"\n{len(chosen) - survived} of {len(chosen)} noticed")
    return bool(survived)


if __name__ == "__main__":
    sys.exit(main())
