"""The benchmark's machinery on toy cases whose ratios are known; no test asserts a time."""

from __future__ import annotations

import json
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from pretrain.recipe import Crops, Data, Model, Recipe, Schedule
from tests.conftest import ROOT, run_module
from tools.bench import main, measure, training
from tools.bench.case import Case
from tools.bench.measure import Comparison, compare, peak_mib
from twist_common.errors import UserError

CPU = torch.device("cpu")
MIB_FLOATS = 2**18


def allocate(mib: int, times: int) -> Callable[[], None]:
    """A call that allocates blocks one after the other and holds one at a time."""

    def call() -> None:
        for _ in range(times):
            torch.ones(mib * MIB_FLOATS)

    return call


def hold(mib: int, times: int) -> Callable[[], None]:
    """A call that holds all of its blocks together."""

    def call() -> None:
        assert len([torch.ones(mib * MIB_FLOATS) for _ in range(times)]) == times

    return call


def toy(kind: str = "speedup", target: float = 2.0) -> Case:
    return Case("toy", "hold 3 x 4 MiB", "MiB", allocate(4, 3), hold(4, 3), target, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(("call", "mib"), [(allocate(4, 3), 4), (hold(4, 3), 12), (lambda: None, 0)])
def test_peak_memory_is_what_a_call_holds_at_one_time(call: Callable[[], None], mib: float) -> None:
    assert peak_mib(call, CPU) == pytest.approx(mib, abs=0.01)


def test_peak_memory_does_not_count_what_was_there_before_the_call() -> None:
    kept = [torch.ones(8 * MIB_FLOATS)]

    def call() -> None:
        kept.clear()
        torch.ones(2 * MIB_FLOATS)

    assert peak_mib(call, CPU) == pytest.approx(2, abs=0.01)


def test_both_ways_are_measured_in_turn_after_one_call_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    case = Case("order", "", "s", lambda: order.append("ours"), lambda: order.append("textbook"), 1.0, threads=1)
    comparison = compare(case, repeats=3, threads=2, device=CPU)
    assert order == ["ours", "textbook"] * 4
    assert len(comparison.ours) == len(comparison.textbook) == 3
    assert comparison.threads == 1  # the case's own


@pytest.mark.parametrize(
    ("slow", "expected"),
    [("textbook", ["ours", "ours", "textbook", "ours", "ours"]), ("both", ["ours", "textbook"])],
)
def test_ways_that_take_minutes_run_once_and_one_of_many_equal_parts_counts_for_all(
    slow: Literal["textbook", "both"], expected: list[str]
) -> None:
    order: list[str] = []
    ways = (lambda: order.append("ours"), lambda: order.append("textbook"))
    case = Case("slow", "", "s", *ways, 1.0, slow=slow, textbook_factor=1e9)
    comparison = compare(case, repeats=3, threads=1, device=CPU)
    assert order == expected
    assert len(comparison.ours) == len(expected) - 1 - (slow == "textbook") and len(comparison.textbook) == 1
    assert comparison.textbook[0] > 10 and comparison.spread[0] <= comparison.ratio <= comparison.spread[1]


@pytest.mark.parametrize(
    ("kind", "target", "ratio", "is_reached"),
    [
        ("speedup", 2.9, 3.0, True),
        ("speedup", 3.1, 3.0, False),
        ("overhead", 0.4, 1 / 3, True),
        ("overhead", 0.3, 1 / 3, False),
    ],
)
def test_ratio_is_the_way_round_that_the_kind_says_and_is_held_against_the_target(
    kind: str, target: float, ratio: float, is_reached: bool
) -> None:
    comparison = compare(toy(kind, target), repeats=2, threads=1, device=CPU)
    assert comparison.ratio == pytest.approx(ratio, rel=0.01)
    assert comparison.is_reached is is_reached


def test_spread_is_the_quartiles_of_neighbouring_pairs_and_the_ratio_that_of_the_medians() -> None:
    comparison = Comparison(toy(), 1, ours=(1.0, 2.0, 1.0, 4.0, 1.0), textbook=(2.0, 2.0, 3.0, 4.0, 5.0))
    ratios = [2.0, 1.0, 3.0, 1.0, 5.0]
    assert comparison.ratio == statistics.median([2.0, 2.0, 3.0, 4.0, 5.0]) / 1.0
    assert comparison.spread == (1.0, 3.0) == (statistics.quantiles(ratios, method="inclusive")[0], 3.0)


@pytest.fixture
def toy_hot_spot(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the toy case the only hot spot, with the given target."""

    def install(target: float) -> None:
        module = types.ModuleType("toy_hot_spot")
        module.cases = lambda args: [toy(target=target)]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "toy_hot_spot", module)
        monkeypatch.setattr(main, "CASES", {"toy": "toy_hot_spot:cases"})

    return install


def test_command_prints_one_line_a_case_and_writes_every_figure(
    toy_hot_spot: Callable[[float], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_hot_spot(2.5)
    path = tmp_path / "bench.json"
    assert main.main(main.Args(repeats=2, threads=1, json=path, check=True)) == 0
    header, printed = capsys.readouterr().out.splitlines()
    assert header.split() == ["case", "kind", "ratio", "quartiles", "ours", "textbook", "threads", "calls", "target"]
    assert " ".join(printed.split()).startswith("toy speedup 3.00 [3.00, 3.00] 4 MiB 12 MiB 1 2 ")
    assert printed.endswith("at least 2.5: reached")
    content = json.loads(path.read_text())
    (case,) = content["cases"]
    assert case["ours"] == pytest.approx([4, 4], abs=0.01) and case["textbook"] == pytest.approx([12, 12], abs=0.01)
    assert content["machine"]["cores"] >= 1 and content["machine"]["torch"] == torch.__version__


@pytest.mark.parametrize(("check", "code"), [(True, 1), (False, 0)])
def test_missed_target_fails_the_command_only_when_it_is_asked_to_check(
    check: bool, code: int, toy_hot_spot: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    toy_hot_spot(4.0)
    assert main.main(main.Args(repeats=1, threads=1, check=check)) == code
    assert "target missed: toy" in capsys.readouterr().out


def test_list_says_what_would_be_measured_and_measures_nothing(
    toy_hot_spot: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_hot_spot(4.0)
    monkeypatch.setattr(measure, "compare", None)  # calling it would raise
    assert main.main(main.Args(list=True)) == 0
    assert capsys.readouterr().out == "toy: hold 3 x 4 MiB; speedup at least 4\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (main.Args(cases=("los",)), "did you mean 'loss'"),
        (main.Args(repeats=0), "--repeats is 0"),
        (main.Args(threads=-1), "--threads is -1"),
    ],
)
def test_misuse_is_one_clear_sentence(args: main.Args, says: str) -> None:
    with pytest.raises(UserError, match=says):
        main.main(args)


def test_help_names_the_cases_and_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "quick_help.py").write_text(
        "import sys; sys.argv = ['bench', '--help']\n"
        "from twist_common import cli; from tools.bench import main\n"
        "try: cli.run(main.Args, main.main, prog='tools/bench.sh')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = run_module("quick_help", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 0, done.stderr
    for name in ("tools/bench.sh", *main.CASES, "--threads", "--check"):
        assert name in done.stdout


def test_both_ways_of_the_loss_case_do_the_same_work() -> None:
    torch.manual_seed(0)
    ours, plain = training.losses(torch.randn(4, 8, 16, requires_grad=True))
    assert ours().item() == pytest.approx(plain().item(), rel=1e-5)


def test_both_ways_of_the_step_case_see_the_same_views_and_change_their_weights() -> None:
    torch.manual_seed(0)
    recipe = Recipe(
        name="toy",
        epochs=1,
        data=Data(dataset="toy", batch_size=4),
        model=Model(backbone="resnet18", hidden=8, num_classes=4),
        crops=Crops(global_size=32, num_local=2, local_size=24),
        schedule=Schedule(warmup_epochs=0),
    )
    views = training.random_views(recipe)
    assert [tuple(view.shape) for view in views] == [(4, 3, 32, 32)] * 2 + [(4, 3, 24, 24)] * 2
    for make in (training.OurStep, training.PlainStep):
        one = make(recipe, views)
        weights = [param for param in one.model.parameters() if param.ndim > 1]  # biases before a norm have no gradient
        before = [weight.detach().clone() for weight in weights]
        one()
        assert not any(torch.equal(old, new) for old, new in zip(before, weights, strict=True))
