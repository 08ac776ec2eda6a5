"""What is averaged, what is compared, and with what."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from tests.report_records import done, failed, trials
from transfer.benchmarks import BENCHMARKS
from transfer.commands.report import summary_text
from transfer.record import Metric, TrialRecord
from transfer.report.compare.model import BenchmarkResult, ResultRow
from transfer.report.compare.ranking import standings
from transfer.report.compare.results import build_report
from transfer.report.compare.runs import methods
from transfer.report.read.published import PUBLISHED_FILE, published_table
from twist_common.errors import UserError

OFF = {"protocol_difference": ["max_iters: 200 -> 20"], "config_sha256": "a" * 64}


def only_result(records: list[TrialRecord], baseline: str | None = None) -> BenchmarkResult:
    (result,) = build_report(records, baseline=baseline).benchmarks
    return result


def rows_by_label(result: BenchmarkResult) -> dict[str, ResultRow]:
    return {row.label: row for row in result.rows}


def test_failed_trials_are_counted_and_in_no_average() -> None:
    (row,) = only_result([*trials([60.0, 62.0]), failed(seed=2)]).rows
    assert (row.metrics["miou"].n, row.metrics["miou"].mean, len(row.failed)) == (2, 61.0, 1)


def test_weights_whose_trials_all_failed_are_shown_without_figures() -> None:
    rows = rows_by_label(only_result([*trials([60.0]), failed(seed=0, weights="other")]))
    assert (rows["other"].metrics["miou"].n, len(rows["other"].failed)) == (0, 1)


def test_off_protocol_trials_are_never_averaged_with_the_others() -> None:
    off = [done(10.0, seed=seed, **OFF) for seed in (5, 6)]
    result = only_result([*trials([60.0, 62.0]), *off])
    means = [(row.procedure.on_protocol, row.metrics["miou"].mean) for row in result.rows]
    assert means == [(True, 61.0), (False, 10.0)]


@pytest.mark.parametrize(
    "parts",
    [
        {"norm_batch": 4, "protocol_difference": ["batch norm: over 16 images -> over 4"]},
        {"batch": "same batch, accumulated ×4 (batch norm over 4 images)"},  # a record from before that
    ],
    ids=["now", "before"],
)
def test_trials_whose_batch_norm_saw_less_are_neither_averaged_nor_paired_with_the_others(parts: Any) -> None:
    base = trials([50.0, 51.0, 52.0], weights="random-resnet18", norm_batch=16)
    result = only_result([*base, *(done(70.0 + seed, seed=seed, **parts) for seed in range(3)), done(60.0, seed=7)])
    whole, in_parts = (row for row in result.rows if row.label == "twist")
    assert (whole.procedure.on_protocol, whole.baseline, list(whole.values("miou"))) == (True, "random-resnet18", [7])
    assert (in_parts.procedure.on_protocol, in_parts.baseline) == (False, None)
    assert "batch norm" in in_parts.procedure.deviations[0]


@pytest.mark.parametrize("difference", [[], ["SyncBN: over all processes -> BN in each process"]])
def test_batch_norm_over_other_numbers_of_images_is_another_procedure_though_nothing_declares_it(
    difference: list[str],
) -> None:
    """As in segmentation on CPU, where each process normalises by itself, however many there are."""

    def some(mean: float, norm_batch: int | None, weights: str = "twist", first: int = 0) -> list[TrialRecord]:
        return [
            done(mean + seed, seed=seed, weights=weights, norm_batch=norm_batch, protocol_difference=difference)
            for seed in range(first, first + 3)
        ]

    records = [*some(50.0, 16, "random-resnet18"), *some(70.0, 16), *some(10.0, 4, first=3), *some(60.0, None, "vit")]
    rows = only_result(records).rows
    means = {(row.label, row.procedure.deviations[len(difference) :]): row.metrics["miou"].mean for row in rows}
    over_16 = ("batch norm over 16 images",) if difference else ()
    assert means == {
        ("random-resnet18", over_16): 51.0,
        ("twist", over_16): 71.0,
        ("twist", ("batch norm over 4 images",)): 14.0,
        ("vit", ()): 61.0,
    }
    assert [row.baseline for row in rows if row.label == "twist" and "4 images" in str(row.procedure)] == [None]
    alike = only_result([*some(50.0, 16, "random-resnet18"), *some(70.0, 16), *some(60.0, None, "vit")]).rows
    assert [row.baseline for row in alike if not row.is_baseline] == ["random-resnet18"] * 2


def test_trials_whose_batch_norm_saw_less_are_in_no_ranking_and_no_method() -> None:
    whole = [done(60.0 + seed, seed=seed, weights="twist@1", norm_batch=16) for seed in range(3)]
    parts = [done(90.0 + seed, seed=seed, weights="twist@2", norm_batch=4) for seed in range(3)]
    moco = [done(50.0 + seed, seed=seed, weights=f"moco@{run}", norm_batch=16) for run in (1, 2) for seed in range(3)]
    report = build_report([*whole, *parts, *moco])
    (result,) = report.benchmarks
    assert {row.label for row in result.on_protocol} == {"twist@1", "moco@1", "moco@2"}
    assert {each.label for each in standings(report, result.key.suite)} == {"twist@1", "moco@1", "moco@2"}
    assert {each.method: each.runs for each in methods(report)} == {"twist": ("twist@1",), "moco": ("moco@1", "moco@2")}


def test_off_protocol_trials_are_compared_only_with_an_equally_off_baseline() -> None:
    base = trials([50.0, 51.0, 52.0], weights="random-resnet18")
    off = [done(70.0 + seed**2, seed=seed, **OFF) for seed in range(3)]
    alone = rows_by_label(only_result(base + off))["twist"]
    assert (alone.baseline, alone.differences) == (None, {})
    off_base = [done(60.0, seed=seed, weights="random-other", **OFF) for seed in range(3)]
    together = rows_by_label(only_result(base + off + off_base))["twist"]
    assert together.baseline == "random-other"
    assert together.differences["miou"].summary.mean == pytest.approx(70 + 5 / 3 - 60)


def test_differences_are_over_common_seeds_when_the_weights_have_unequal_ones() -> None:
    base = [done(50.0 + seed, seed=seed, weights="random-resnet18") for seed in (0, 1, 2, 3, 4)]
    ours = [done(60.0 + 2 * seed, seed=seed) for seed in (2, 3, 8)]
    row = rows_by_label(only_result(base + ours))["twist"]
    assert row.differences["miou"].seeds == (2, 3)
    assert row.differences["miou"].summary.mean == 12.5
    assert row.metrics["miou"].n == 3


def test_the_default_baseline_is_the_random_weights_and_comes_first() -> None:
    result = only_result([*trials([1.0], weights="a"), *trials([1.0], weights="random-resnet18")])
    assert [(row.label, row.is_baseline) for row in result.rows] == [("random-resnet18", True), ("a", False)]


def test_a_chosen_baseline_takes_the_place_of_the_random_one() -> None:
    records = [*trials([1.0, 4.0], weights="a"), *trials([0.0, 0.0], weights="random-resnet18")]
    row = rows_by_label(only_result(records, baseline="a"))["random-resnet18"]
    assert (row.baseline, row.differences["miou"].summary.mean) == ("a", -2.5)


def test_a_name_that_begins_with_random_is_no_random_initialisation() -> None:
    named = [*trials([1.0], weights="b"), *trials([1.0], weights="c")]
    for record in trials([1.0], weights="random_erasing_moco"):
        weights = dataclasses.replace(record.weights, source="/weights/random_erasing_moco.pth")
        named.append(dataclasses.replace(record, weights=weights))
    assert not any(row.is_baseline for row in only_result(named).rows)


def test_of_two_weights_without_a_baseline_one_is_compared_with_the_other() -> None:
    rows = rows_by_label(only_result([*trials([1.0, 2.0], weights="a"), *trials([4.0, 6.0], weights="b")]))
    assert (rows["b"].baseline, rows["b"].differences["miou"].summary.mean) == ("a", 3.5)


def test_without_a_baseline_nothing_is_compared() -> None:
    result = only_result([each for name in "abc" for each in trials([1.0], weights=name)])
    assert all(row.baseline is None and not row.differences for row in result.rows)


def test_unknown_baseline_suggests_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'twist'"):
        build_report(trials([1.0]), baseline="twits")


def test_of_several_random_weights_the_one_of_the_same_architecture_is_the_baseline() -> None:
    def of(arch: str, name: str) -> TrialRecord:
        record = done(1.0, weights=name)
        return dataclasses.replace(record, weights=dataclasses.replace(record.weights, arch=arch))

    records = [of("resnet18", "random-resnet18"), of("resnet50", "random-resnet50"), of("resnet50", "moco")]
    assert rows_by_label(only_result(records))["moco"].baseline == "random-resnet50"


def test_two_files_of_one_name_are_two_rows_with_their_hashes() -> None:
    other = done(5.0)
    other = dataclasses.replace(other, weights=dataclasses.replace(other.weights, sha256="f" * 64))
    result = only_result([done(1.0), other])
    assert len(result.rows) == 2
    assert "twist (ffffffff)" in rows_by_label(result)
    with pytest.raises(UserError, match="names several weights"):
        build_report([done(1.0), other], baseline="twist")
    assert rows_by_label(only_result([done(1.0), other], baseline="twist (ffffffff)"))["twist (ffffffff)"].is_baseline


def test_floors_are_kept_apart_and_ranges_are_not_hidden() -> None:
    first = done(60.0, references={"all background": {"miou": 45.0}})
    second = done(61.0, seed=1, references={"all background": {"miou": 46.0}})
    (floor,) = only_result([first, second]).floors
    assert (floor.name, floor.ranges) == ("all background", {"miou": (45.0, 46.0)})


def test_a_metric_whose_direction_changes_is_an_error() -> None:
    lower = dataclasses.replace(done(1.0, seed=1), metrics={"miou": Metric(value=1.0, direction="lower")})
    with pytest.raises(UserError, match="miou is better higher in some"):
        build_report([done(1.0), lower])


def test_an_unknown_benchmark_is_reported_by_its_first_metric() -> None:
    result = only_result(trials([{"b": 1.0, "a": 2.0}], benchmark="zoo"))
    assert (result.title, result.main_metric) == ("zoo", "b")


@pytest.mark.parametrize(
    ("benchmark", "metrics"),
    [
        ("seg-voc-vit-b", {"miou": 71.0, "macc": 80.0, "aacc": 90.0}),
        ("coco-deit-s", {"box_ap": 40.0, "box_ap50": 60.0, "mask_ap": 35.0}),
    ],
)
def test_records_of_a_protocol_that_was_withdrawn_are_reported_under_its_name(
    benchmark: str, metrics: dict[str, float]
) -> None:
    result = only_result(trials([metrics], benchmark=benchmark))
    assert (result.title, result.main_metric, len(result.rows)) == (benchmark, next(iter(metrics)), 1)


@pytest.mark.parametrize("name", ["voc", "coco", "seg-voc", "seg-cityscapes"])
def test_published_rows_have_the_metrics_of_the_records(name: str) -> None:
    table = published_table(name)
    assert table is not None and table.source.startswith("Table ")
    for row in table.rows:
        assert BENCHMARKS[name].main_metric in row.values


def test_published_figures_as_printed() -> None:
    def figures(benchmark: str, method: str) -> dict[str, float]:
        table = published_table(benchmark)
        assert table is not None
        return next(row.values for row in table.rows if row.method == method)

    assert figures("voc", "TWIST") == {"box_ap": 58.1, "box_ap50": 84.2, "box_ap75": 65.4}
    assert figures("coco", "TWIST")["mask_ap50"] == 59.7
    assert figures("seg-voc", "TWIST") == {"miou": 73.3}
    assert figures("seg-cityscapes", "Sup") == {"miou": 75.4}
    assert "top5" not in figures("imagenet-linear", "MoCo-v3")  # not reported


def test_every_published_row_has_a_figure_for_every_column() -> None:
    content = yaml.safe_load(PUBLISHED_FILE.read_text(encoding="utf-8"))
    matrices = list(content["matrices"].values())
    tables = [*content["benchmarks"].values(), *matrices, *content["ablations"].values()]
    for table in tables:
        columns = table["metrics"] if "metrics" in table else table["columns"]
        assert all(len(row["values"]) == len(columns) for row in table["rows"])
    assert {table["table"] for table in tables if "table" in table} == {1, 2, 3, 4, 5, 6, 7, 8}
    for matrix in matrices:  # the averages are printed too, so they say whether the columns were copied well
        for row in matrix["rows"]:
            assert sum(row["values"]) / 11 == pytest.approx(row["average"], abs=0.051)


def test_demo_benchmarks_have_no_published_rows() -> None:
    assert published_table("demo-seg") is None


def test_one_trial_of_each_is_shown_without_interval_or_test() -> None:
    report = build_report([done(60.0), done(50.0, weights="random-resnet18")])
    assert "+10.00 (1 pair)" in summary_text(report)
    assert "±" not in summary_text(report).split("demo-seg")[-1]


def test_no_interval_leaves_what_the_metric_or_a_difference_of_two_can_be() -> None:
    records = [*trials([0.0, 1.0, 6.0], weights="random-resnet18"), *trials([91.0, 99.0, 100.0])]
    (result,) = build_report(records).benchmarks
    low, high = (row.metrics["miou"].interval for row in result.rows)
    assert low and high and low.low == 0.0 < low.high and high.low < high.high == 100.0
    difference = result.rows[1].differences["miou"]
    assert difference.summary.interval and difference.simultaneous
    assert difference.summary.interval.high == difference.simultaneous.high == 100.0
