"""Where a trial's network is in its checkpoint: a part of the trial's inputs, and an option for each of a suite's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backbones import flat_state
from tests.unit.test_backbone_named import HALF, save
from transfer.commands import suite
from transfer.reading import Reading
from transfer.trials.plan import weights_ref
from twist_common.errors import UserError


def test_naming_of_the_place_is_a_part_of_the_trial_s_inputs(tmp_path: Path) -> None:
    path = str(save({"net": flat_state()}, tmp_path))
    refs = [weights_ref(path, reading=Reading(entry=entry)) for entry in (None, "net", "ema")]
    assert len({ref.taken for ref in refs}) == 3
    assert refs[1].taken == 'student {"entry": "net"}'


def test_fresh_initialisation_is_read_from_nothing() -> None:
    with pytest.raises(UserError, match="read from no file"):
        weights_ref("random:resnet18", reading=Reading(entry="net"))


def test_suite_says_it_for_each_of_the_weights(tmp_path: Path) -> None:
    path = save({"net": flat_state()}, tmp_path, "a.pth")
    mean = "--mean 0.5 0.5 0.5 --std 0.5 0.5 0.5"
    read = f"a=--entry net --arch resnet18 --drop 'x.*' y {mean}"
    args = suite.Args(suite="demo", checkpoints=(str(path), f"b={path}"), device="cpu", data=tmp_path, read=(read,))
    refs = {plan.weights.name: plan.weights for plan in suite.suite_plans(args)}
    assert refs["a"].reading == Reading(entry="net", drop=("x.*", "y"), mean=HALF, std=HALF)
    assert (refs["a"].arch, refs["b"].reading) == ("resnet18", Reading())
    for wrong, says in {
        "c=--entry net": "'c'",
        "a=--netry net": "no options of a checkpoint",
        "a=--mean 1": "are",
        "a": "not NAME=OPTIONS",
    }.items():
        args = suite.Args(suite="demo", checkpoints=(str(path),), device="cpu", data=tmp_path, read=(wrong,))
        with pytest.raises(UserError, match=says):
            suite.suite_plans(args)
