"""What a user may type to tools/transfer_cls.sh."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.benchmarks import BENCHMARKS, ELEVEN
from transfer.commands.transfer_cls import Args, benchmark_names, main
from twist_common.errors import UserError


@pytest.mark.parametrize("mode", ["linear", "finetune", "both"])
@pytest.mark.parametrize("grid", ["full", "cheap"])
def test_every_name_stands_for_benchmarks_that_there_are(mode, grid) -> None:  # type: ignore[no-untyped-def]
    for name, chosen in benchmark_names(mode, grid).items():
        assert chosen and set(chosen) <= set(BENCHMARKS), name


def test_a_mode_chooses_and_a_cheap_grid_is_a_benchmark_of_its_own() -> None:
    assert benchmark_names("linear", "full")["dtd"] == ("dtd-linear",)
    assert benchmark_names("both", "full")["dtd"] == ("dtd-linear", "dtd-finetune")
    assert benchmark_names("finetune", "cheap")["dtd"] == ("dtd-finetune-cheap",)
    assert benchmark_names("both", "cheap")["finetune11"] == tuple(f"{name}-finetune-cheap" for name in ELEVEN)
    assert len(benchmark_names("both", "full")["linear11"]) == 11
    assert BENCHMARKS["dtd-finetune-cheap"].title != BENCHMARKS["dtd-finetune"].title


@pytest.mark.parametrize(
    ("bench", "options", "said"),
    [
        ("dtd", {"labels": Path("1percent.txt")}, "dtd takes none"),
        ("finetune11", {"data": Path("data")}, "DATA_ROOT"),
        ("folder-1pct", {}, "--data DIR"),
        ("imagenet-1pc", {}, "did you mean 'imagenet-1pct'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(bench: str, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        main(Args(bench=bench, checkpoint="random:resnet18", **options))
