"""What all tests share: the embedded data, made once, and a command runner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded data in its true on-disk layouts (docs/architecture.md)."""
    from common.digits import generate

    root = tmp_path_factory.mktemp("data") / "digits"
    generate(root)
    return root


def run_module(module: str, *arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m module arguments`` as the launchers do, and returns what it printed and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
