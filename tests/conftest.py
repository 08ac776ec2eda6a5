"""Fixtures and helpers that tests share: the embedded data, made once, a narrow ViT, and a runner of commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, and in all that is started from it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded data in their layouts on disk (twist_common/digits/README.md)."""
    from twist_common.digits import generate

    root = tmp_path_factory.mktemp("data") / "digits"
    generate(root)
    return root


@pytest.fixture(scope="module")
def scenes(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits' VOC layout with lists short enough for a trial within a test."""
    from tests.segmentation_trials import make_short_lists

    return make_short_lists(digits, tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trials of a module keep their converted weights."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread, so that sums are always in the same order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def mmengine_on_one_thread(one_thread: None) -> Iterator[None]:
    """One thread, and afterwards torch as it was before MMEngine made it deterministic for the rest of the process."""
    import torch

    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of checked data is kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def narrow_vit(one_thread: None) -> Iterator[None]:
    """``tests.backbones.NARROW_VIT`` among the architectures, on one thread."""
    from tests.backbones import add_narrow_vit

    with pytest.MonkeyPatch.context() as patch:
        add_narrow_vit(patch)
        yield


@pytest.fixture(scope="session")
def few_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of three digits to train on and as many to be scored, laid out as a user's own."""
    root = tmp_path_factory.mktemp("few")
    for split in ("train", "val"):
        for name in ("0", "1", "7"):
            (root / split / name).mkdir(parents=True)
            for path in sorted((digits / "imagefolder" / split / name).glob("*.png"))[:10]:
                shutil.copy(path, root / split / name / f"n{name}_{path.name}")
    return root


def run_module(module: str, *arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m module arguments`` as the launchers do, and returns what it printed and its exit code."""
    return _run("-m", module, *arguments, cwd=cwd, **environment)


def run_program(program: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a file of the test's own, in its folder, from which the tools do not import."""
    return _run(program, *arguments, cwd=program.parent, **environment)


def _run(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def slurm_conf() -> Iterator[Path]:
    """The configuration of a private Slurm of two nodes, running; a test that needs it is skipped where it cannot."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # not pytest's: the path of a socket must be short
    script = ROOT / "tools" / "slurm_local.sh"
    started = subprocess.run([script, "start", folder], capture_output=True, text=True, timeout=120)
    if started.returncode == 3:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(started.stderr.strip().splitlines()[-1])
    assert started.returncode == 0, started.stderr
    try:
        yield folder / "slurm.conf"
    finally:
        subprocess.run([script, "stop", folder], timeout=120, check=True)


@pytest.fixture(autouse=True)
def _no_logger_of_another_test() -> Iterator[None]:
    """MMEngine's current logger outlives the test that made it, and would write into that test's removed folder."""
    yield
    if (logging := sys.modules.get("mmengine.logging")) is not None:
        logging.MMLogger._instance_dict.clear()
