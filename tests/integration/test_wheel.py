"""The wheel, installed into an environment of its own: its one command works from any folder, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

PACKAGES = ("twist_common", "twist_configs", "pretrain", "transfer")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, from copies, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*line, "--wheel-dir", folder, folder / "source"], check=True, timeout=120)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def script(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command. Other packages are those of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    line = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(line, check=True, timeout=120)
    return folder / "bin" / "twist-transfer"


def run(script: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATA_ROOT")}
    line = [script, *arguments]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    assert names == files
    assert not {name.split("/")[0] for name in names} & {"common", "configs", "tests", "tools"}, "names that others use"
    assert {"transfer/report/write/sort.js", "transfer/py.typed", "twist_configs/segmentation/_base_/any.py"} <= names


def test_an_archive_becomes_a_report_in_an_empty_folder(script: Path, tmp_path: Path) -> None:
    done = run(script, "report", ROOT / "tests/records/before-the-rooms.tar.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sorting = (ROOT / "transfer/report/write/sort.js").read_text().strip()
    assert sorting in (tmp_path / "report/report.html").read_text()


def test_a_plan_looks_for_data_in_the_current_folder(script: Path, tmp_path: Path) -> None:
    done = run(script, "plan", "det", "voc", "random:resnet50", "--gpu", "h100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"no folder {tmp_path}/data/voc" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_converted_with_proof_and_hostile_files_here_are_not_imported(
    script: Path, tmp_path: Path
) -> None:
    from torchvision.models import resnet18

    for name in ("json", "twist_common", "twist_configs", "torch", "transfer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')\n")
    torch.save(resnet18().state_dict(), tmp_path / "mine.pth")
    done = run(script, "convert", "mine.pth", "--to", "torchvision", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.torchvision.safetensors").is_file() and (tmp_path / "mine.proof.json").is_file()


def test_messages_and_help_name_the_command_that_is_installed(script: Path, tmp_path: Path) -> None:
    shown = run(script, "cls", "--help", cwd=tmp_path).stdout
    assert shown.startswith("usage: twist-transfer cls ") and "tools/" not in shown
    refused = run(script, "suite", "demo", cwd=tmp_path)
    assert refused.returncode == 2 and "run twist-transfer pretrain demo" in refused.stderr
    unknown = run(script, "raport", cwd=tmp_path)
    assert unknown.returncode == 2 and "did you mean 'report'" in unknown.stderr
