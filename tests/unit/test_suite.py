"""Which trials a suite's command line asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from configs.suites import DEMO
from transfer.suite import Args, named_weights, suite_plans


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a data folder and the checkpoint that pre-training on the digits leaves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "digits").mkdir(parents=True)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    checkpoint = tmp_path / "runs" / "pretrain" / "demo" / "backbone.pth"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    return tmp_path


def args(*checkpoints: str, suite: str = "demo", **options: object) -> Args:
    return Args(suite=suite, checkpoints=checkpoints, device="cpu", **options)  # type: ignore[arg-type]


def test_the_demo_finds_what_its_pretraining_left(folder: Path) -> None:
    plans = suite_plans(args())
    assert {plan.weights.name for plan in plans} == {"twist", "random"}
    assert {plan.benchmark.name for plan in plans} == set(DEMO.benchmarks)
    assert len(plans) == len(DEMO.benchmarks) * 2 * DEMO.num_trials


def test_every_benchmark_has_the_same_seeds_from_every_checkpoint(folder: Path) -> None:
    (folder / "moco.pth").write_bytes(b"m")
    plans = suite_plans(args("moco.pth", "t=runs/pretrain/demo/backbone.pth", "random:resnet18", seeds=("3", "7-8")))
    trials = {(plan.benchmark.name, plan.weights.name, plan.seed) for plan in plans}
    names = ("moco", "t", "random-resnet18")
    assert trials == {(bench, name, seed) for bench in DEMO.benchmarks for name in names for seed in (3, 7, 8)}


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        (("demo-seg", "demo-coco"), (), ["demo-coco", "demo-seg"]),  # in the suite's order
        (DEMO.benchmarks[:3], DEMO.benchmarks[:2], [DEMO.benchmarks[2]]),
        ((), DEMO.benchmarks[1:], [DEMO.benchmarks[0]]),
    ],
)
def test_benchmarks_are_chosen_or_left_out(
    only: tuple[str, ...], skip: tuple[str, ...], left: list[str], folder: Path
) -> None:
    plans = suite_plans(args(only=only, skip=skip, trials=1))
    assert list(dict.fromkeys(plan.benchmark.name for plan in plans)) == left


def test_all_missing_data_are_named_at_once_with_the_benchmarks_to_leave_out(folder: Path) -> None:
    (folder / "data" / "voc").mkdir()
    with pytest.raises(UserError, match=r"data/coco .*data/cityscapes .* --skip coco seg-cityscapes$"):
        suite_plans(args("random:resnet50", suite="paper"))
    plans = suite_plans(args("random:resnet50", suite="paper", skip=("coco", "seg-cityscapes")))
    assert {plan.benchmark.name for plan in plans} == {"voc", "seg-voc"}


def test_a_path_with_an_equals_sign_is_not_taken_for_a_name(folder: Path) -> None:
    (folder / "lr=0.1").mkdir()
    for path in (folder / "lr=0.1" / "backbone.pth", folder / "lr=0.3.pth"):
        path.write_bytes(b"w")
    assert named_weights(str(folder / "lr=0.1" / "backbone.pth")).name == "lr_0.1"
    assert named_weights("lr=0.3.pth").name == "lr_0.3"
    assert named_weights("a=lr=0.3.pth").name == "a"
