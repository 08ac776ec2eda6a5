"""Outcomes beside records: intervals for new test images in every form of the report, checked, packed and verified."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.report_records import done, failed, folder_of, save
from transfer.commands.report import Args, main, summary_text, write_report
from transfer.outcomes.file import packed
from transfer.outcomes.pixels import Confusion
from transfer.record import OUTCOMES_NAME, Metric, TrialRecord
from transfer.report.compare.method_differences import ONE_CHECKPOINT, method_differences
from transfer.report.compare.model import ResultRow
from transfer.report.compare.results import build_report
from transfer.report.compare.runs import methods
from transfer.report.lay_out import format as fmt
from transfer.report.lay_out.tables import IMAGES_TOO, P_IMAGES_TOO
from transfer.report.verify import verify
from twist_common.errors import UserError
from twist_common.files import sha256_bytes


def confusion(skill: float, seed: int) -> Confusion:
    rng = np.random.default_rng(seed)
    labelled = np.tile(np.arange(1, 5) * 100, (40, 1))
    right = (labelled * np.clip(rng.normal(skill, 0.2, (40, 4)), 0, 1)).astype(int)
    return Confusion.of_areas(right, labelled, labelled)


def with_outcomes(root: Path, *, weights: str, skill: float, num_seeds: int = 3) -> list[TrialRecord]:
    records = []
    for seed in range(num_seeds):
        outcomes = confusion(skill, 10 * seed)
        content = packed(outcomes)
        record = done(outcomes.metrics(), seed=seed, weights=weights, files={OUTCOMES_NAME: sha256_bytes(content)})
        save([record], root)
        (folder_of(record, root) / OUTCOMES_NAME).write_bytes(content)
        records.append(record)
    return records


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    with_outcomes(root, weights="random-resnet18", skill=0.4)
    with_outcomes(root, weights="twist", skill=0.6)
    return root


def row(runs: Path, label: str) -> ResultRow:
    report, _ = write_report([runs])
    return next(row for row in report.rows if row.label == label)


def test_every_form_shows_the_interval_for_new_images(runs: Path) -> None:
    twist = row(runs, "twist")
    assert twist.with_images and twist.with_images.num_images == 40
    difference = twist.differences["miou"].with_images
    assert difference and difference.interval.low > 0
    low = f"{twist.with_images.interval.low:.2f}"
    for name in ("report.html", "report.md", "report.tex", "report.json"):
        text = (runs / name).read_text()
        assert low in text or name == "report.json"
        assert (IMAGES_TOO.replace("%", r"\%") if name == "report.tex" else IMAGES_TOO) in text or name == "report.json"
    report, _ = write_report([runs])
    assert IMAGES_TOO in summary_text(report)
    p_images = fmt.p_value(twist.differences["miou"].p_images)
    shown = (runs / "report.md").read_text().replace("&lt;", "<").replace("\\", "").split(f"{P_IMAGES_TOO} |")[1]
    (line,) = [line for line in shown.splitlines() if "twist − random-resnet18" in line][:1]
    assert p_images in [cell.strip() for cell in line.split("|")]
    assert f"[+{difference.interval.low:.2f}, +{difference.interval.high:.2f}]" in summary_text(report)
    assert not twist.differences["macc"].with_images  # of the main metric alone


def test_without_outcomes_nothing_is_shown(tmp_path: Path) -> None:
    save([done(50.0 + seed, seed=seed, weights=name) for seed in range(3) for name in ("random-r", "twist")], tmp_path)
    report, _ = write_report([tmp_path])
    assert not any(row.with_images for row in report.rows)
    assert IMAGES_TOO not in summary_text(report)
    assert IMAGES_TOO not in (tmp_path / "report.tex").read_text().replace(r"\%", "%")


def test_a_deterministic_figure_has_an_interval_over_images_alone(tmp_path: Path) -> None:
    (first,) = with_outcomes(tmp_path, weights="twist", skill=0.6, num_seeds=1)
    content = (folder_of(first, tmp_path) / OUTCOMES_NAME).read_bytes()
    for seed in (1, 2):
        record = dataclasses.replace(first, seed=seed, inputs_sha256=sha256_bytes(bytes([seed]))).sealed()
        save([record], tmp_path)
        (folder_of(record, tmp_path) / OUTCOMES_NAME).write_bytes(content)
    with_outcomes(tmp_path, weights="random-resnet18", skill=0.4)
    twist = row(tmp_path, "twist")
    assert twist.deterministic and twist.metrics["miou"].interval is None
    assert twist.with_images and twist.with_images.degrees is None and twist.with_images.se_seeds == 0
    difference = twist.differences["miou"].with_images
    assert difference and difference.degrees  # the other side's seeds are in it
    assert "images alone" in (tmp_path / "report.md").read_text()


def test_a_trial_without_outcomes_leaves_its_row_without_the_interval(runs: Path) -> None:
    next(runs.glob(f"demo/demo-seg/twist-*/trial-1/{OUTCOMES_NAME}")).unlink()
    twist = row(runs, "twist")
    assert twist.with_images is None and twist.differences["miou"].with_images is None
    assert row(runs, "random-resnet18").with_images


def test_other_outcomes_than_the_record_names_are_refused_and_named(runs: Path) -> None:
    write_report([runs])
    next(runs.glob(f"demo/demo-seg/twist-*/trial-1/{OUTCOMES_NAME}")).write_bytes(packed(confusion(0.9, 1)))
    with pytest.raises(UserError, match=rf"^{OUTCOMES_NAME} beside .*trial-1/record\.json is not the file that"):
        write_report([runs])
    assert any("seed 1: outcomes.npz is not the trial's" in line for line in verify(runs).edited)


def test_an_archive_carries_the_outcomes_and_both_verify(runs: Path, tmp_path: Path) -> None:
    write_report([runs])
    assert verify(runs / "report.json").holds
    assert main(Args(runs=(runs,), pack=tmp_path / "all.tar.gz")) == 0
    report, _ = write_report([tmp_path / "all.tar.gz"], out=tmp_path / "report")
    assert all(row.with_images for row in report.rows)
    assert verify(runs / "report.json", [tmp_path / "all.tar.gz"]).holds
    for path in runs.rglob(OUTCOMES_NAME):
        path.unlink()
    found = verify(runs / "report.json")
    assert any("with_images" in line for line in found.differing)


def test_runs_of_a_method_are_a_level_of_their_own(runs: Path) -> None:
    """Three runs by their names; what is no run holds for its checkpoint only."""
    for run in range(3):
        with_outcomes(runs, weights=f"moco@run{run}", skill=0.5 + 0.02 * run)
    report, _ = write_report([runs])
    found = {each.method: each for each in methods(report)}
    assert found.keys() == {"random-resnet18", "twist", "moco"}
    moco = found["moco"]
    assert (len(moco.runs), moco.num_trials) == (3, 9)
    assert moco.interval and moco.interval.low < moco.mean < moco.interval.high
    assert moco.components.between_runs and moco.components.between_seeds and moco.se_images
    assert found["twist"].interval is None
    assert found["random-resnet18"].interval  # drawn anew for each seed
    bounds = f"[{moco.interval.low:.2f}, {moco.interval.high:.2f}]"
    for name in ("report.html", "report.md", "report.tex"):
        text = (runs / name).read_text().replace("\\[", "[").replace("\\]", "]")
        assert bounds in text and "Of one run, so that their figures hold for these checkpoints only: twist" in text
    assert bounds in summary_text(report)
    assert verify(runs / "report.json").holds


def test_methods_are_compared_over_their_runs_and_one_run_holds_for_its_checkpoint_only(runs: Path) -> None:
    for run in range(3):
        with_outcomes(runs, weights=f"moco@run{run}", skill=0.5 + 0.02 * run)
        with_outcomes(runs, weights=f"dino@run{run}", skill=0.2 + 0.02 * run)
    report, _ = write_report([runs])
    found = {(each.method, each.other): each for each in method_differences(report)}
    assert len(found) == 6
    difference = found["moco", "dino"]
    assert difference.verdict == "better" and difference.over_runs and difference.over_runs.se_images
    assert difference.over_runs.interval.low > 0 and (difference.p_holm or 1) >= difference.over_runs.p_value
    assert found["twist", "moco"].verdict == ONE_CHECKPOINT and found["twist", "moco"].over_runs is None
    assert found["random-resnet18", "dino"].num_runs == (3, 3)  # drawn anew for each seed
    bounds = f"[+{difference.over_runs.interval.low:.2f}, +{difference.over_runs.interval.high:.2f}]"
    for name in ("report.html", "report.md", "report.tex"):
        text = (runs / name).read_text().replace("\\[", "[").replace("\\]", "]").replace("$-$", "−")
        assert bounds in text and "moco − dino" in text
    assert bounds in summary_text(report)
    assert verify(runs / "report.json").holds


def test_where_lower_is_better_and_where_runs_failed_the_verdict_follows() -> None:
    def of(weights: str, start: float) -> list[TrialRecord]:
        values = {(run, seed): start + run + seed for run in range(3) for seed in range(2)}
        return [
            done(1.0, weights=f"{weights}@run{run}", seed=seed, benchmark="depth", metrics={"rmse": metric})
            for (run, seed), value in values.items()
            for metric in [Metric(value=value, direction="lower")]
        ]

    (found,) = method_differences(build_report([*of("a", 40.0), *of("b", 20.0)]))
    assert (found.method, found.other, found.verdict) == ("b", "a", "better") and found.difference == -20.0
    lost = failed(seed=5, weights="b@run0", benchmark="depth")
    (found,) = method_differences(build_report([*of("a", 40.0), *of("b", 20.0), lost]))
    assert found.verdict == "undecided"


def test_with_one_run_of_each_the_report_says_so(runs: Path) -> None:
    """As of all records that name no run."""
    write_report([runs])
    assert "holds for these checkpoints only" in (runs / "report.md").read_text()
    assert methods(write_report([runs])[0]) == ()
