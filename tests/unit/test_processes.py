"""Processes of one group: what the one that started them knows of the first one's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from transfer import peak_memory, processes
from transfer.trials.provenance import used_device
from twist_common import gpus

BYTES = 2**29


def fill(job: int, report: Any) -> int:
    """Has so many bytes resident in the first process, for a moment."""
    if dist.get_rank() == 0:
        np.ones(job, np.uint8)
    return dist.get_world_size()


def test_the_first_process_tells_its_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "of_launched", [])
    assert processes.launch(fill, BYTES, num_processes=2, device="cpu", progress=lambda *step: None) == 2
    (peak,) = peak_memory.of_launched
    assert BYTES < peak < 4 * BYTES  # however much this process has
    monkeypatch.setattr(peak_memory, "of_launched", [2**50])
    assert used_device("cpu")[2] == 2**50


def test_a_trial_on_several_gpus_has_the_memory_of_its_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = tuple(gpus.Card("NVIDIA H100 80GB HBM3", f"GPU-{number}") for number in "ab")
    monkeypatch.setattr(gpus, "cards", lambda: cards)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 0)  # this process trains nothing itself
    monkeypatch.setattr(peak_memory, "of_launched", [7, 5])
    assert used_device("cuda") == ("NVIDIA H100 80GB HBM3 x 2", 2, 7)
