"""What the report reads, refuses, and keeps apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.report_records import done, failed, save, trials
from transfer.benchmarks import BENCHMARKS
from transfer.report.compare.results import group, procedures
from transfer.report.read.trials import find_records
from twist_common.errors import UserError


def test_records_are_found_at_any_depth_and_once_in_overlapping_folders(tmp_path: Path) -> None:
    save(trials([1.0, 2.0]), tmp_path / "a" / "b")
    assert len(find_records([tmp_path])) == 2
    assert len(find_records([tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "a"])) == 2


def test_half_written_files_beside_records_are_no_records(tmp_path: Path) -> None:
    save(trials([1.0]), tmp_path)
    folder = next(tmp_path.rglob("record.json")).parent
    (folder / ".record.123.tmp.json").write_text("{")
    assert len(find_records([tmp_path])) == 1


def test_folder_without_records_is_an_error_even_beside_one_with(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save(trials([1.0]), tmp_path / "full")
    with pytest.raises(UserError, match=r"no record\.json below .*empty"):
        find_records([tmp_path / "full", tmp_path / "empty"])


def test_missing_folder_and_no_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        find_records([tmp_path / "absent"])
    with pytest.raises(UserError, match="no folder given"):
        find_records([])


def test_two_records_of_one_trial_are_an_error_that_names_both(tmp_path: Path) -> None:
    save([done(1.0)], tmp_path / "one")
    save([done(2.0)], tmp_path / "two")
    with pytest.raises(UserError, match=r"(?s)one.*two.*same trial.*seed 0"):
        find_records([tmp_path])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 99}', '{"schema_version": 1, "seed": NaN}'])
def test_unreadable_record_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    save([done(1.0)], tmp_path)
    broken = tmp_path / "demo" / "broken" / "record.json"
    broken.parent.mkdir()
    broken.write_text(content)
    with pytest.raises(UserError, match=r"broken/record\.json"):
        find_records([tmp_path])


def test_benchmarks_come_in_the_order_of_their_table_and_unknown_ones_last() -> None:
    names = ["zoo", *reversed(BENCHMARKS)]
    keys = group(done(1.0, benchmark=name) for name in names)
    assert [key.benchmark for key in keys] == [*BENCHMARKS, "zoo"]


def test_same_benchmark_of_two_suites_stays_apart() -> None:
    keys = group([done(1.0, suite="b"), done(1.0, suite="a")])
    assert [key.suite for key in keys] == ["a", "b"]


def test_declared_difference_is_off_protocol() -> None:
    difference = ["SOLVER.MAX_ITER: 100 -> 10"]
    found = procedures([done(1.0), done(1.0, seed=1, protocol_difference=difference)])
    assert [found[0].on_protocol, found[1].deviations] == [True, tuple(difference)]


def test_other_protocol_version_is_off_protocol_even_if_all_trials_have_it() -> None:
    version = BENCHMARKS["demo-seg"].protocol_version
    found = procedures([dataclasses.replace(record, protocol_version=version + 1) for record in trials([1.0, 2.0])])
    assert [found[0].on_protocol, found[1].on_protocol] == [False, False]
    assert f"current is {version}" in found[0].deviations[0]


def test_older_version_of_an_unknown_benchmark_is_off_protocol() -> None:
    found = procedures([done(1.0, benchmark="zoo", protocol_version=version, seed=version) for version in (1, 2)])
    assert [found[0].on_protocol, found[1].on_protocol] == [False, True]


def test_of_undeclared_configs_that_are_not_the_protocols_none_is_on_protocol_however_many_have_it() -> None:
    records = [*trials([1.0, 2.0, 3.0]), done(9.0, weights="other", config_sha256="f" * 64)]
    found = procedures(records)
    assert not any(each.on_protocol for each in found.values())
    assert found[3].deviations == ("resolved config ffffffff is not the protocol's",)
    unknown = procedures([done(1.0, benchmark="zoo"), done(1.0, benchmark="zoo", seed=1, config_sha256="f" * 64)])
    assert unknown[1].deviations == ("resolved config ffffffff is not that of all trials",)


def test_a_failed_trial_says_nothing_about_the_procedure() -> None:
    assert procedures([failed(seed=0)]) == {}
