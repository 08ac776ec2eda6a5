"""The GPUs of this machine, counted here and nowhere else."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twist_common.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
PROC = Path("/proc/driver/nvidia")  # the driver's own account, also where nvidia-smi is missing


@dataclass(frozen=True)
class Card:
    """A GPU as ``nvidia-smi -L`` lists it; ``partitions`` are the UUIDs of its MIG devices."""

    title: str
    uuid: str
    partitions: tuple[str, ...] = ()


def resolve_device(device: str) -> str:
    """Turns ``"auto"`` into ``"cuda"`` where a GPU is visible, else into ``"cpu"``.

    Raises:
        UserError: an unknown device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device is {device!r}: known are auto, cpu, cuda")
    if device != "auto":
        return device
    return "cuda" if visible_gpus() else "cpu"


def num_processes(device: str) -> int:
    """How many processes share the work of this process's devices: one per GPU, one on CPU.

    Raises:
        UserError: ``device`` is ``"cuda"`` and no GPU is visible.
    """
    return len(joint_gpus(required_gpus())) if device == "cuda" else 1


def required_gpus() -> tuple[str, ...]:
    """:func:`visible_gpus`; none is a UserError."""
    gpus = visible_gpus()
    if not gpus:
        raise UserError(f"--device cuda, but no GPU is visible: see nvidia-smi -L and {VISIBLE}, or give --device cpu")
    return gpus


def joint_gpus(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``gpus`` that can work on one task together: a MIG device works alone.

    CUDA shows a process a single MIG device, and then no other GPU (MIG User Guide, "CUDA Device Enumeration":
    https://docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html).
    """
    partitions = [name for name in gpus if name.startswith("MIG-")]
    return tuple(partitions[:1]) or gpus


def visible_gpus() -> tuple[str, ...]:
    """GPUs of this machine as ``CUDA_VISIBLE_DEVICES`` names them; an outer setting of it is respected."""
    return gpus_of(cards(), os.environ)


def gpus_of(cards: tuple[Card, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that ``environment`` leaves visible; of a partitioned one, its MIG devices.

    The variable is read as CUDA reads it: numbers, UUIDs or beginnings of them that are unique, in this order, up to
    the first that does not exist; with a GPU named twice there is none (CUDA C++ Programming Guide, "CUDA Environment
    Variables").
    """
    names = [card.partitions or (str(index),) for index, card in enumerate(cards)]
    if VISIBLE not in environment:
        return tuple(name for each in names for name in each)
    visible: list[str] = []
    for entry in environment[VISIBLE].split(","):
        found = _named(entry.strip(), cards, names)
        if found is None:
            break
        if set(found) & set(visible):
            return ()
        visible += found
    return tuple(visible)


def _named(entry: str, cards: tuple[Card, ...], names: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """What one entry of the variable names, in the words of ``names``; None if it does not exist."""
    if entry.isdigit():
        return names[int(entry)] if int(entry) < len(cards) else None
    if entry.startswith("MIG-"):
        partitions = [uuid for card in cards for uuid in card.partitions if uuid.startswith(entry)]
        return (partitions[0],) if len(partitions) == 1 else None
    if not entry.startswith("GPU-"):
        return None
    found = [index for index, card in enumerate(cards) if card.uuid.startswith(entry)]
    if len(found) != 1:
        return None
    return cards[found[0]].partitions or (entry,)


@functools.cache  # a trial's record still knows them when nvidia-smi has failed meanwhile
def cards() -> tuple[Card, ...]:
    """The machine's NVIDIA GPUs, visible or not, from ``nvidia-smi``, else from the driver's files."""
    listed = listed_cards(_nvidia_smi("-L"))
    if listed:
        return listed
    files = sorted(PROC.glob("gpus/*/information"))  # by their place on the bus, as nvidia-smi lists them
    fields = [dict(re.findall(r"^([\w ]+):\s*(.*?)\s*$", file.read_text(), re.MULTILINE)) for file in files]
    return tuple(Card(each.get("Model", "NVIDIA GPU"), each.get("GPU UUID", "")) for each in fields)


def listed_cards(listing: str) -> tuple[Card, ...]:
    """The GPUs in the output of ``nvidia-smi -L``."""
    found: list[Card] = []
    for line in listing.splitlines():
        if card := re.match(r"GPU \d+: (.*) \(UUID: (GPU-[^)]+)\)", line):
            found.append(Card(card[1], card[2]))
        elif found and (partition := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            last = found[-1]
            found[-1] = Card(last.title, last.uuid, (*last.partitions, partition[1]))
    return tuple(found)


def titles(gpus: tuple[str, ...]) -> tuple[str, ...]:
    """The titles of visible GPUs, in their order, e.g. ``"NVIDIA H100 80GB HBM3"``."""
    known = cards()
    titles = {name: card.title for index, card in enumerate(known) for name in (str(index), card.uuid)}
    titles |= {uuid: f"a MIG device of {card.title}" for card in known for uuid in card.partitions}
    return tuple(next(title for name, title in titles.items() if name == gpu or name.startswith(gpu)) for gpu in gpus)


def described(device: str) -> str:
    """This process's devices, e.g. ``"4 x NVIDIA H100 80GB HBM3, driver 580.65.06, torch 2.14.1"``."""
    torch = f"torch {importlib.metadata.version('torch')}"
    if device == "cpu":
        hidden = f", {len(cards())} NVIDIA GPUs unused" if cards() else ""
        return f"cpu ({platform.machine()}{hidden}), {torch}"
    counts = Counter(titles(joint_gpus(visible_gpus())))
    gpus = ", ".join(f"{count} x {title}" for title, count in counts.items())
    return f"{gpus}, driver {driver_version()}, {torch}"


def memory_bytes(gpus: tuple[str, ...]) -> int | None:
    """Of the smallest of visible GPUs; None where ``nvidia-smi`` does not say, and for MIG devices."""
    asked = _nvidia_smi("--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
    rows = [[field.strip() for field in line.split(",")] for line in asked.splitlines()]
    found = [
        int(row[2]) * 2**20
        for gpu in gpus
        for row in rows
        if len(row) == 3 and row[2].isdigit() and (gpu == row[0] or (gpu.startswith("GPU-") and row[1].startswith(gpu)))
    ]
    return min(found) if found and len(found) == len(gpus) else None


def driver_version() -> str:
    """The NVIDIA driver's version, e.g. ``"580.65.06"``; ``"unknown"`` where it does not say."""
    asked = _nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0].strip()
    if asked:
        return asked
    version = PROC / "version"
    found = re.search(r"\s(\d+\.[\d.]+)\s", version.read_text()) if version.is_file() else None
    return found[1] if found else "unknown"


def _nvidia_smi(*arguments: str) -> str:
    """What it prints; empty if it is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return ""
    done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""
