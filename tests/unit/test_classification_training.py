"""Checkpoints of a training by steps: written beside the next ones, from a copy, and what a full disk does."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from transfer.tasks.classification import training
from transfer.tasks.classification.training import Group, Training

NUM_STEPS = 3
SECONDS = 30.0


class Counter:
    """A training that counts its steps in place, and notes which of them were begun."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.pth"
        self.weight = torch.zeros(())
        self.begun: list[int] = []
        self.taken: Callable[[int], None] = lambda step: None

    def run(self) -> None:
        settings = {"num_steps": NUM_STEPS, "curves": self.path.parent / "curves", "group": Group(device="cpu")}
        Training(self.path, "this", done=lambda step, total: None, **settings).run(  # type: ignore[arg-type]
            self._take,
            state=lambda: {"weights": [self.weight]},
            load=self._load,
            scalars=lambda losses: {"loss": losses.item()},
        )

    def _load(self, state: dict[str, Any]) -> None:
        self.weight.copy_(state["weights"][0])

    def _take(self, steps: range) -> Iterator[tuple[int, Tensor]]:
        for step in steps:
            self.begun.append(step)
            self.weight += 1
            self.taken(step + 1)
            yield step + 1, torch.zeros(())


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    monkeypatch.setattr(training, "INTERVAL_SECONDS", 0.0)
    return Counter(tmp_path)


def test_steps_go_on_while_a_checkpoint_is_written_and_it_holds_its_own_step(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved, goes_on = torch.save, [], threading.Event()

    def slow(content: dict[str, Any], file: Any) -> None:
        assert goes_on.wait(SECONDS), "the steps waited for the file"
        saved.append((content["state"]["step"], content["state"]["weights"][0].item()))
        save(content, file)

    monkeypatch.setattr(torch, "save", slow)
    counter.taken = lambda step: goes_on.set() if step == 2 else None
    counter.run()
    assert saved == [(step, float(step)) for step in (1, 2, 3)]
    assert torch.load(counter.path, weights_only=True)["state"]["step"] == NUM_STEPS
    again = Counter(counter.path.parent)
    again.run()
    assert again.begun == [] and again.weight == NUM_STEPS


def test_a_full_disk_ends_the_training(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(content: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", refuse)
    with pytest.raises(OSError, match=r"No space left on device: '.*state\.pth'"):
        counter.run()
    assert len(counter.begun) <= 2, "one more step than that of the checkpoint at most"
    assert not counter.path.exists()
