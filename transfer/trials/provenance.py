"""Where a trial ran, with which code and packages, and at what cost: what a record holds and a task does not know."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer.peak_memory import peak_bytes
from transfer.task import task_of
from transfer.trials.plan import TrialPlan
from twist_common.gpus import described, num_processes
from twist_common.places import is_checkout

# What can change a result: a package's name in records, and the distributions that may provide it.
PACKAGES = {
    name: (name,)
    for name in (
        "twist-transfer",
        "torch",
        "torchvision",
        "numpy",
        "timm",
        "scikit-learn",
        "pycocotools",
        "mmsegmentation",
        "mmengine",
    )
} | {"detectron2": ("detectron2", "pb1-detectron2"), "mmcv": ("mmcv", "mmcv-lite")}


def provenance(device: str, wall_seconds: float) -> dict[str, Any]:
    """Fields of :class:`~transfer.record.TrialRecord` for a trial that this process ran.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """
    commit, is_dirty = git_state()
    name, num_devices, peak = used_device(device)
    return {
        "git_commit": commit,
        "git_dirty": is_dirty,
        "packages": package_versions(),
        "device": name,
        "processor": processor(),
        "wall_seconds": round(wall_seconds, 6),  # no two trials take the same time: copies are found by it
        "device_hours": round(wall_seconds / 3600 * num_devices, 6),
        "peak_bytes": peak,
    }


def first_line(plans: Sequence[TrialPlan]) -> str:
    """What trials run on and in which precision, in the words that begin the runner's output and a trial's log."""
    precisions = []
    for plan in plans:
        task = task_of(plan.benchmark)
        changed = [each for each in plan.overrides if each.startswith(f"{task.precision_key}=")]
        precisions.append((changed or [task.precision if plan.device == "cuda" else "fp32"])[-1])
    return f"device: {described(plans[0].device)}; precision: {', '.join(dict.fromkeys(precisions))}"


@functools.cache
def git_state() -> tuple[str, bool]:
    """(commit, whether there are uncommitted changes) of this code; ("unknown", False) outside a git checkout."""
    if not is_checkout():  # installed, perhaps within a repository of somebody else
        return "unknown", False

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of Python and :data:`PACKAGES`; packages that are not installed are left out."""
    versions = {"python": platform.python_version()}
    for name, distributions in PACKAGES.items():
        for distribution in distributions:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(distribution)
                break
    return versions


@functools.cache
def processor() -> str:
    """The CPU's model, e.g. ``"AMD EPYC (cpu family 25, model 17, stepping 1)"``, or else its architecture."""
    try:
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
        return cpu_model(fields) or platform.machine()
    except (OSError, subprocess.CalledProcessError):
        return platform.machine()


def cpu_model(fields: Mapping[str, str]) -> str:
    """The model from the fields of ``/proc/cpuinfo``, or empty. Its numbers tell where the name does not.

    Virtual machines on two generations may both be ``"AMD EPYC"``.
    """
    name = fields.get("model name", "")
    numbers = [f"{what} {fields[what]}" for what in ("cpu family", "model", "stepping") if fields.get(what)]
    return f"{name} ({', '.join(numbers)})" if name and numbers else name


def used_device(device: str) -> tuple[str, int, int]:
    """Name, number of GPUs (1 on CPU) and peak memory in bytes: allocated on the first GPU, or resident on CPU.

    The name is e.g. ``"NVIDIA H200 x 1"`` or ``"cpu x86_64, 1 thread"``.
    """
    if device == "cuda":
        import torch

        num_gpus = num_processes(device)
        return f"{torch.cuda.get_device_name()} x {num_gpus}", num_gpus, peak_bytes(device)
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    return f"cpu {platform.machine()}, {threads} thread{'' if threads == '1' else 's'}", 1, peak_bytes(device)
