"""Safeguards that nothing else would miss if they were gone (tests/faults/safeguards.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.run import checkpoint
from tests.unit.test_claim import dead_owner, lay
from transfer.tasks.detection import trainer
from transfer.trials import claim
from transfer.trials.claim import GUARD, Claim, read_owner
from transfer.weights import of_trial
from transfer.weights.backbone import random_backbone
from transfer.weights.convert import proof
from twist_common.errors import UserError


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_no_checkpoint_runs_what_is_in_it(tmp_path: Path) -> None:
    path, mark = tmp_path / "checkpoint.pth", tmp_path / "mark"
    torch.save({"format": checkpoint.FORMAT, "fingerprint": "f", "model": Hostile(mark)}, path)
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        checkpoint.load(path)
    with pytest.raises(Exception, match="weights_only"):
        trainer.load_state(path, "f", "cpu")
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()


def test_a_trials_network_takes_all_tensors_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_backbone("resnet18", seed=0)
    backbone.state_dict.pop("layer4.1.conv2.weight")
    monkeypatch.setattr(of_trial, "trial_backbone", lambda trial: backbone)
    with pytest.raises(RuntimeError, match=r"layer4\.1\.conv2\.weight"):
        of_trial.torch_backbone(None)  # type: ignore[arg-type]


def test_features_that_are_not_a_number_prove_nothing() -> None:
    stages = {name: {"max_abs_difference": 0.0, "tolerance": 1e-5} for name in ("stem", "res2")}
    proof._check_stages(stages, [*stages], "timm")
    stages["stem"]["max_abs_difference"] = float("nan")
    with pytest.raises(UserError, match="differ from the source's by nan"):
        proof._check_stages(stages, [*stages], "timm")


def test_a_dead_owners_claim_is_left_to_the_one_who_is_taking_it_over(tmp_path: Path) -> None:
    path = tmp_path / ".claim"
    lay(path, dead_owner())
    other = claim.take(tmp_path / f".claim{GUARD}")
    assert other and claim.take(path) is None
    other.release()
    assert claim.take(path)


def test_a_claim_that_was_taken_over_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, take, winner = tmp_path / ".claim", claim.take, claim._myself()
    lay(path, dead_owner())

    def another_is_quicker(guard: Path) -> Claim | None:
        lay(path, winner)
        return take(guard)

    monkeypatch.setattr(claim, "take", another_is_quicker)
    assert take(path) is None and read_owner(path) == winner
