"""``tools/preflight.sh`` passes on this machine, and each of its checks fails where something is wrong."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.data import device_augment
from pretrain.distributed import Process
from pretrain.run import checkpoint, step
from tools.first_hour import checks, main
from tools.first_hour.checks import CHECKS, Check, outcome
from tools.first_hour.site import Site
from twist_common import gpus

CPU = Site("cpu", Path("unused"))


@pytest.fixture(scope="module")
def site(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    torch.set_num_threads(1)
    site = Site("cpu", tmp_path_factory.mktemp("preflight"))
    site.digits.symlink_to(digits)
    site.take_few()
    return site


def failed(name: str, site: Site, run: Callable[[Site], str] | None = None) -> str:
    found = outcome(Check(run, "") if run else CHECKS[name], site)
    assert found["status"] == "fail", found
    return str(found["detail"])


def test_help_lists_every_check() -> None:
    assert re.findall(r"^  (\w+) {2,}", inspect.getdoc(main.Args) or "", re.MULTILINE) == list(CHECKS)


def test_quick_checks_pass_and_the_rest_says_why_it_is_skipped(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(Site, "prepare", lambda self: shutil.copytree(site.few, self.few))
    names = ("driver", "gradients", "jitter", "resume", "speed")
    assert main.main(main.Args(checks=names, out=tmp_path)) == 0
    report = json.loads((tmp_path / "preflight.json").read_text())
    statuses = {name: found["status"] for name, found in report["checks"].items()}
    assert statuses == {
        "driver": "skipped",
        "gradients": "pass",
        "jitter": "pass",
        "resume": "pass",
        "speed": "skipped",
    }
    assert report["failed"] == [] and report["device"].startswith("cpu")
    assert not (tmp_path / "work").exists()
    assert "skipped" in capsys.readouterr().out


def test_a_failure_is_shown_with_what_to_do_and_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(site: Site) -> str:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nfurther lines")

    monkeypatch.setattr(Site, "prepare", lambda self: None)
    monkeypatch.setitem(CHECKS, "fork", Check(broken, "take another machine"))
    assert main.main(main.Args(checks=("fork",), device="cpu", out=tmp_path)) == 1
    report = json.loads((tmp_path / "preflight.json").read_text())
    assert report["failed"] == ["fork"] and report["checks"]["fork"]["remedy"] == "take another machine"
    assert "what to do: take another machine" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine whose torch sees no GPU")
def test_the_drivers_check_fails_where_torch_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "cards", lambda: (gpus.Card("NVIDIA L4", "GPU-a"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "torch" in failed("driver", Site("cuda", CPU.folder))


def test_the_gradients_check_fails_if_bf16_has_another_loss(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = step.multicrop_twist_loss
    calls = itertools.count()

    def scaled(logits: Tensor, *arguments: Any, **options: Any) -> Any:
        loss = exact(logits, *arguments, **options)
        return loss._replace(total=loss.total * (1.0 + next(calls)))  # the second is bf16's

    monkeypatch.setattr(step, "multicrop_twist_loss", scaled)
    assert "bf16 differs from fp32 by" in failed("gradients", site)


def test_the_jitter_check_fails_if_the_device_adjusts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for adjustment in device_augment.ADJUSTMENTS:
        monkeypatch.setitem(device_augment.ADJUSTMENTS, adjustment, lambda images, factors: images)
    assert "levels of 255" in failed("jitter", CPU)


def test_the_resume_check_fails_if_a_checkpoint_comes_back_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    load = checkpoint.load

    def bit_lost(path: Path) -> dict[str, Any]:
        content = load(path)
        if path.parent.name == "resumed" and content["epoch"] == 1:
            content["model"]["backbone.conv1.weight"][0] += 1
        return content

    monkeypatch.setattr(checkpoint, "load", bit_lost)
    assert "of the distance trained away" in failed("resume", site)


def leave_alone(module: nn.Module, process: Process) -> None:
    """In the place of the norms' synchronisation."""


def test_the_norms_check_fails_if_processes_normalise_by_themselves(site: Site) -> None:
    assert "2 processes and one differ" in failed("syncbn", site, lambda site: checks.syncbn(site, leave_alone))


def test_the_check_of_joint_training_fails_if_a_process_does(site: Site) -> None:
    assert "exit code 2" in failed("ddp", site, lambda site: checks.ddp(site, "data.batch_size=1000"))


def wrong_sum(device: str) -> float:
    return 2.0


def test_the_fork_check_fails_if_a_forked_process_computes_something_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "TRIALS", {"demo-linear": ()})
    assert "1 + 1 + 1 is 2.0" in failed("fork", site, lambda site: checks.fork(site, wrong_sum))


def test_the_trials_check_fails_with_the_trials_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TRIALS", {"demo-linear": ("precision=fp64",)})
    assert "precision" in failed("trials", site, lambda site: checks.trials(site, ("demo-linear",)))


def test_the_trials_check_fails_if_fine_tuning_diverges(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "demo-1pct" in checks.TRIALS
    monkeypatch.setitem(checks.TRIALS, "demo-1pct", (*checks.TRIALS["demo-1pct"], "lr_backbone=1e30"))
    assert "are not finite" in failed("trials", site, lambda site: checks.trials(site, ("demo-1pct",)))


def test_the_trials_check_fine_tunes(site: Site) -> None:
    assert checks.trials(site, ("demo-1pct",)).startswith("demo-1pct ")


def test_the_loaders_check_fails_if_images_come_slowly(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Any, keys: Sequence[Any]) -> None:
        time.sleep(1.0)

    monkeypatch.setattr(checks.TwistDataset, "__getitems__", slow)
    assert "images/s per core, the plan is" in failed("loaders", site)


def test_the_speed_check_fails_far_below_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "cards", lambda: (gpus.Card("NVIDIA H100 80GB HBM3", "GPU-a"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(checks, "images_per_second", lambda recipe, device: 5.0)
    assert "5 images/s on NVIDIA H100 80GB HBM3, the plan is" in failed("speed", Site("cuda", CPU.folder))
