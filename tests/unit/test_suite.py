"""Which trials a suite's command line asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.benchmarks import ELEVEN, GROUPS, of_suite
from transfer.commands.suite import Args, named_weights, suite_plans
from transfer.trials.display import TrialsDisplay
from transfer.trials.summary import RunSummary
from twist_common.errors import UserError

DEMO = tuple(row.name for row in of_suite("demo"))


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
    assert {plan.benchmark.name for plan in plans} == set(DEMO)
    assert len(plans) == len(DEMO) * 2 * 5


def test_the_demo_begins_with_what_takes_seconds_and_ends_with_detection() -> None:
    assert DEMO[:2] == ("demo-linear", "demo-cluster")
    assert [name for name in DEMO if name in ("demo-voc-frozen", "demo-voc", "demo-coco")] == list(DEMO[-3:])


def test_after_the_last_trial_of_each_benchmark_something_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = suite_plans(args(only=DEMO[:2], trials=1))
    ended: list[str] = []
    with TrialsDisplay(
        plans, RunSummary(), num_devices=2, after_benchmark=lambda: f"after {len(ended)} trials"
    ) as display:
        for plan in (plans[0], plans[2], plans[3], plans[1]):
            ended.append(plan.label)
            display.ended(plan, "failed" if plan is plans[3] else "done", "")
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("after")] == [
        "after 3 trials",
        "after 4 trials",
    ]


def test_every_benchmark_has_the_same_seeds_from_every_checkpoint(folder: Path) -> None:
    (folder / "moco.pth").write_bytes(b"m")
    plans = suite_plans(args("moco.pth", "t=runs/pretrain/demo/backbone.pth", "random:resnet18", seeds=("3", "7-8")))
    trials = {(plan.benchmark.name, plan.weights.name, plan.seed) for plan in plans}
    names = ("moco", "t", "random-resnet18")
    assert trials == {(bench, name, seed) for bench in DEMO for name in names for seed in (3, 7, 8)}


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        (("demo-coco", "demo-seg"), (), ["demo-seg", "demo-coco"]),  # in the suite's order
        (DEMO[:3], DEMO[:2], [DEMO[2]]),
        ((), DEMO[1:], [DEMO[0]]),
    ],
)
def test_benchmarks_are_chosen_or_left_out(
    only: tuple[str, ...], skip: tuple[str, ...], left: list[str], folder: Path
) -> None:
    plans = suite_plans(args(only=only, skip=skip, trials=1))
    assert list(dict.fromkeys(plan.benchmark.name for plan in plans)) == left


DENSE = ("voc", "coco", "seg-voc", "seg-cityscapes")


def test_all_missing_data_are_named_at_once_with_the_benchmarks_to_leave_out(folder: Path) -> None:
    (folder / "data" / "voc").mkdir()
    with pytest.raises(UserError, match=r"data/coco, .*data/cityscapes: .* --skip coco seg-cityscapes$"):
        suite_plans(args("random:resnet50", suite="paper", only=DENSE))
    plans = suite_plans(args("random:resnet50", suite="paper", only=DENSE, skip=("coco", "seg-cityscapes")))
    assert {plan.benchmark.name for plan in plans} == {"voc", "seg-voc"}


def test_a_group_is_chosen_or_left_out_by_its_name(folder: Path) -> None:
    for name in ELEVEN:
        (folder / "data" / ("voc" if name == "voc2007" else name)).mkdir()
    chosen = args("random:resnet50", suite="paper", only=("linear11", "voc"), trials=1)
    assert [plan.benchmark.name for plan in suite_plans(chosen)] == ["voc", *GROUPS["linear11"]]
    (folder / "data" / "voc").rmdir()
    with pytest.raises(UserError, match=r"no folder .*data/voc .* --skip voc voc2007-linear$"):
        suite_plans(chosen)
    for name in set(ELEVEN) - {"voc2007"}:
        (folder / "data" / name).rmdir()
    (folder / "data" / "coco").mkdir()
    with pytest.raises(UserError, match=r" --skip voc linear11$"):
        suite_plans(args("random:resnet50", suite="paper", only=("linear11", "voc", "coco")))


def test_imagenets_parts_are_refused_before_any_trial_without_the_lists_that_define_them(folder: Path) -> None:
    (folder / "data" / "imagenet").mkdir()
    (folder / "one.txt").write_text("n01440764_10074.JPEG\n")
    parts = {"suite": "paper", "only": ("imagenet-1pct", "imagenet-10pct", "imagenet-100pct"), "trials": 1}
    with pytest.raises(UserError, match=r"give --labels imagenet-10pct=10percent.txt, or .* --skip imagenet-10pct$"):
        suite_plans(args("random:resnet50", labels=("imagenet-1pct=one.txt",), **parts))
    with pytest.raises(UserError, match=r"ten.txt is no file"):
        suite_plans(args("random:resnet50", labels=("imagenet-1pct=one.txt", "imagenet-10pct=ten.txt"), **parts))
    with pytest.raises(UserError, match=r"'voc=one.txt' is not BENCH=FILE"):
        suite_plans(args("random:resnet50", labels=("voc=one.txt",), **parts))
    (folder / "ten.txt").write_text("n01440764_10074.JPEG\n")
    plans = suite_plans(args("random:resnet50", labels=("imagenet-1pct=one.txt", "imagenet-10pct=ten.txt"), **parts))
    assert [plan.labels and plan.labels.name for plan in plans] == ["one.txt", "ten.txt", None]


def test_a_path_with_an_equals_sign_is_not_taken_for_a_name(folder: Path) -> None:
    (folder / "lr=0.1").mkdir()
    for path in (folder / "lr=0.1" / "backbone.pth", folder / "lr=0.3.pth"):
        path.write_bytes(b"w")
    assert named_weights(str(folder / "lr=0.1" / "backbone.pth")).name == "lr_0.1"
    assert named_weights("lr=0.3.pth").name == "lr_0.3"
    assert named_weights("a=lr=0.3.pth").name == "a"


def test_a_name_may_say_which_pretraining_run_of_a_method_it_is(folder: Path) -> None:
    (folder / "a.pth").write_bytes(b"w")
    assert named_weights("twist@run0=a.pth").name == "twist@run0"
    for name in ("@run0", "twist@", "twist@run@0"):
        with pytest.raises(UserError, match=r"one '@' before the name of a pre-training run: twist@run0"):
            named_weights(f"{name}=a.pth")
