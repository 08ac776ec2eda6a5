"""The preflight's checks of memory and layouts: what they measure is held against plan and choice, and can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tools.first_hour import gpu_steps
from tools.first_hour.gpu_steps import GIB, layouts, memory, pass_speed
from tools.first_hour.site import CheckError, Site, SkippedError

GPU = Site("cuda", Path("unused"))
PLANNED = 12.05  # GiB for 64 images of rn50; an H200 took 12.0


def peak(monkeypatch: pytest.MonkeyPatch, gibibytes: float) -> None:
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: gibibytes * GIB)
    monkeypatch.setattr(gpu_steps, "images_per_second", lambda recipe, device: 1.0)


def test_memory_is_held_against_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    peak(monkeypatch, 12.0)
    assert memory(GPU) == "12.0 GiB for 64 images, the plan is 12.1"
    for wrong in (1.2 * PLANNED, 0.4 * PLANNED):
        peak(monkeypatch, wrong)
        with pytest.raises(CheckError, match=rf"{wrong:.1f} GiB for 64 images, the plan is 12\.1"):
            memory(GPU)


def test_a_choice_that_is_slower_than_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {(True, False, False): 1000.0, (True, True, True): 1300.0}
    monkeypatch.setattr(gpu_steps, "pass_speed", lambda device, **how: rates.get(tuple(how.values()), 500.0))
    found = layouts(GPU)
    assert "bf16 row-major 1000, " in found and "bf16 channels last and cudnn.benchmark 1300" in found
    rates[True, True, True] = 800.0
    with pytest.raises(CheckError, match=r"bf16 channels last and cudnn\.benchmark 800"):
        layouts(GPU)


def test_both_are_skipped_on_cpu() -> None:
    for check in (memory, layouts):
        with pytest.raises(SkippedError):
            check(Site("cpu", Path("unused")))


def test_passes_are_in_the_layout_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def note(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1):
            is_last = module.weight.is_contiguous(memory_format=torch.channels_last)
            seen.append((is_last, torch.backends.cudnn.benchmark))

    for name, number in {"BATCH_SIZE": 2, "STEPS": 1, "WARM_UP": 0}.items():
        monkeypatch.setattr(gpu_steps, name, number)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    hook = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        pass_speed(torch.device("cpu"), is_half=False, is_last=True, is_tuned=True, size=32)
        pass_speed(torch.device("cpu"), is_half=False, is_last=False, is_tuned=False, size=32)
    finally:
        hook.remove()
    assert seen == 17 * [(True, True)] + 17 * [(False, False)]
    assert not torch.backends.cudnn.benchmark
