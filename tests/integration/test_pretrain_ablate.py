"""Ablations, for real but small: through the launcher and the trainer on embedded digits, evaluated and reported."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import twist_configs.pretrain
from tests.classification_trials import make_trial
from transfer import datasets
from transfer.ablation import evaluate, runs
from transfer.ablation.evaluate import Evaluator
from transfer.commands import ablate
from transfer.report.read import ablation_files
from transfer.tasks.classification import task
from transfer.tasks.classification.datasets import open_splits
from transfer.tasks.classification.loader import CenterCrop, center_crop
from transfer.tasks.clustering.network import Reader
from transfer.trial import WeightsRef
from transfer.weights.backbone import IMAGENET
from twist_common.errors import UserError
from twist_common.files import sha256_file
from twist_configs.pretrain import ablations
from twist_configs.pretrain.ablations import Study

PER_CLASS = {"train": 96, "val": 10}
# 30 steps; without warm-up, or most of them would be part of it.
SMALL = ("epochs=2", "data.batch_size=64", "model.num_classes=16", "schedule.warmup_epochs=0", "run.log_steps=3")
STEPS = 2 * 10 * PER_CLASS["train"] // 64


@pytest.fixture(scope="module")
def images(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the embedded digits."""
    root = tmp_path_factory.mktemp("images")
    for split, number in PER_CLASS.items():
        for folder in sorted((digits / "imagefolder" / split).iterdir()):
            (root / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:number]:
                shutil.copy(path, root / split / folder.name)
    return root


@pytest.fixture(scope="module")
def two_terms() -> Study:
    """The terms with and without sharpness."""
    study = ablations.terms()
    chosen = ("diversity alone", "both")
    return dataclasses.replace(study, arms=lambda recipe: tuple(a for a in study.arms(recipe) if a.label in chosen))


@pytest.fixture(scope="module")
def out(images: Path, two_terms: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ablation that ran to its end."""
    out = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ablations.STUDIES, "terms", lambda: two_terms)
        patch.setenv("OMP_NUM_THREADS", "1")
        assert ablate.main(args(images, out)) == 0
    return out


def args(images: Path, out: Path, study: str = "terms") -> ablate.Args:
    return ablate.Args(study=study, overrides=SMALL, data=images, out=out, device="cpu")


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "terms" / "ablations.csv").open(newline="") as table:
        return {row["setting"]: row for row in csv.DictReader(table)}


def run_folder(out: Path, row: dict[str, str]) -> Path:
    return out / "terms" / row["folder"]


def gradients(out: Path, row: dict[str, str]) -> list[float]:
    """Of a run's logged steps, in their order."""
    lines = [json.loads(line) for line in (run_folder(out, row) / "metrics.jsonl").read_text().splitlines()]
    return [line["grad_before_nbs"] for line in lines if line["kind"] == "step"]


def test_without_sharpness_table_8s_collapsed_signature_appears_and_the_sentinel_fires(out: Path) -> None:
    collapsed, healthy = rows(out)["diversity alone"], rows(out)["both"]
    assert "collapse: for 3 logged steps every class has nearly the same logit" in collapsed["sentinel"]
    assert float(collapsed["sharpness"]) > math.log(16) - 0.05 and float(collapsed["diversity"]) > math.log(16) - 0.05
    assert (
        float(collapsed["grad"]) < 0.1 * gradients(out, collapsed)[0]
        and float(healthy["grad"]) > 0.1 * gradients(out, healthy)[0]
    )
    assert float(collapsed["std_r_after"]) < 0.3 and float(collapsed["std_c_after"]) > 0.9
    assert not healthy["sentinel"]
    assert float(healthy["sharpness"]) < math.log(16) - 0.3


def test_report_sets_published_figures_apart_from_measured_ones(out: Path) -> None:
    text = (out / "terms" / "report.md").read_text()
    measured, published = text.split("Published, not measured: Table 8")
    assert "| *both* | *1.51* | *7.87* | *0.02* | *70.9* |" in published and "70.9" not in measured
    assert "| diversity alone |" in measured and "| untrained network (floor) |" in measured
    (collapsed,) = (line for line in measured.splitlines() if line.startswith("| diversity alone |"))
    (healthy,) = (line for line in measured.splitlines() if line.startswith("| both |"))
    assert collapsed.endswith("| 1 of 1 |") and healthy.endswith("| none |")
    (figure,) = (out / "terms" / "report-figures").glob("course-*.png")
    assert figure.stat().st_size > 1000 and f"](report-figures/{figure.name})" in text


def test_every_figure_of_a_run_is_in_the_csv_and_comes_from_its_own_files(out: Path) -> None:
    for row in rows(out).values():
        folder = run_folder(out, row)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        last = [line for line in lines if line["kind"] == "step" and line["epoch"] == 1]
        assert len(last) == STEPS // 2 // 3
        assert float(row["loss"]) == pytest.approx(sum(line["loss"] for line in last) / len(last))
        assert float(row["used_classes"]) == lines[-1]["used_classes"]
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert float(row["acc"]) == 100 * evaluation["acc"] and float(row["nmi"]) == 100 * evaluation["nmi"]
        assert (evaluation["num_train"], evaluation["num_val"]) == (960, 100)


def test_outcome_file_tells_reports_the_same_figures_in_percent_under_a_hash(out: Path) -> None:
    ablation = ablation_files.read((out / "terms" / "ablation.json").read_bytes(), "ablation.json")
    assert (ablation.study, ablation.recipe, ablation.edited) == ("terms", "demo", False)
    assert (ablation.num_train, ablation.num_val) == (960, 100) and 0 < ablation.untrained["acc"] <= 100
    for run in ablation.runs:
        row = rows(out)[run.setting]
        assert (out / "terms" / run.folder / "metrics.jsonl").is_file()
        assert run.figures["acc"] == float(row["acc"])
        assert run.figures["loss"] == float(row["loss"]) and run.failure is None
    changed = (out / "terms" / "ablation.json").read_bytes().replace(b'"seed": 0', b'"seed": 7')
    assert ablation_files.read(changed, "ablation.json").edited


def test_finished_ablation_started_again_trains_nothing_and_writes_the_same_report(
    out: Path, images: Path, two_terms: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ablations.STUDIES, "terms", lambda: two_terms)
    monkeypatch.setattr(runs, "LAUNCHER", "no_such_module")
    before = {path: path.read_bytes() for path in (out / "terms").rglob("*.*")}
    assert ablate.main(args(images, out)) == 0
    assert {path: path.read_bytes() for path in (out / "terms").rglob("*.*")} == before


def test_run_that_failed_is_a_failed_row_and_the_command_says_so(
    out: Path, images: Path, two_terms: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ablations.STUDIES, "terms", lambda: two_terms)
    shutil.copytree(out, tmp_path / "out")
    planned = runs.plan(two_terms, "demo", SMALL, 1, tmp_path / "out")
    (planned[0].out / "finished.json").unlink()
    monkeypatch.setattr(runs, "LAUNCHER", "no_such_module")  # Python's exit code is 1
    assert ablate.main(args(images, tmp_path / "out")) == 1
    report = (tmp_path / "out" / "terms" / "report.md").read_text()
    assert "| diversity alone (1 of 1 failed) |" in report and "pre-training failed with code 1" in report
    ablation = ablation_files.read((tmp_path / "out" / "terms" / "ablation.json").read_bytes(), "ablation.json")
    assert [(run.failure is not None, bool(run.figures)) for run in ablation.runs] == [(True, False), (False, True)]
    row = rows(tmp_path / "out")["diversity alone"]
    assert row["failure"] and not row["loss"] and not row["acc"]


def test_seeds_count_from_the_users_and_each_run_has_each_setting_once(tmp_path: Path) -> None:
    planned = runs.plan(ablations.nbs(), "demo", ("seed=3", "epochs=2"), 2, tmp_path)
    assert {run.seed for run in planned} == {3, 4}
    for run in planned:
        keys = [change.partition("=")[0] for change in run.changes]
        assert len(keys) == len({*keys}) and f"seed={run.seed}" in run.changes and run.recipe.epochs == 2
    with pytest.raises(UserError, match="the setting seed is given twice"):
        runs.plan(ablations.nbs(), "demo", ("seed=3", "seed=4"), 2, tmp_path)


def test_same_settings_are_one_run_in_all_studies_and_other_seeds_are_others(tmp_path: Path) -> None:
    with_nbs = runs.plan(ablations.nbs(), "demo", (), 2, tmp_path)[0]
    both = runs.plan(ablations.terms(), "demo", (), 2, tmp_path)[3]
    full = next(run for run in runs.plan(ablations.classes(), "demo", (), 1, tmp_path) if run.arm.value == 64)
    assert with_nbs.out == both.out == full.out
    folders = {run.out for run in runs.plan(ablations.terms(), "demo", (), 2, tmp_path)}
    assert len(folders) == 8


@pytest.mark.parametrize("recipe", twist_configs.pretrain.RECIPES)
@pytest.mark.parametrize("name", ablations.STUDIES)
def test_every_study_changes_only_what_it_says_in_every_recipe(name: str, recipe: str, tmp_path: Path) -> None:
    changed = {
        "nbs": {"model", "crops", "augmentation"},  # digits also with harder views
        "terms": {"loss"},
        "classes": {"model"},
        "epochs": {"epochs"},
        "multicrop": {"crops"},
    }
    base = runs.base_recipe(recipe, ())
    planned = runs.plan(ablations.get(name), recipe, (), 1, tmp_path)
    assert len({run.out for run in planned}) == len(planned) >= 2
    for run in planned:
        assert run.recipe.self_labeling.epochs == 0
        fields = {field.name for field in dataclasses.fields(base)}
        assert {key for key in fields if getattr(run.recipe, key) != getattr(base, key)} <= changed[name]
    assert any(run.recipe != base for run in planned)


class Brightness(nn.Module):
    """Stands for a backbone: the feature is the mean brightness."""

    num_features = 1

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3)).unsqueeze(1)


class DarkOrBright(nn.Module):
    """Stands for its head."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([-features, features], dim=1)


def write_images(folder: Path, brightness: dict[str, tuple[int, ...]]) -> None:
    for name, values in brightness.items():
        (folder / name).mkdir(parents=True)
        for index, value in enumerate(values):
            Image.new("RGB", (8, 8), (value,) * 3).save(folder / name / f"{index}.png")


def test_evaluation_scores_val_alone(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"dark": (0, 10, 20, 30, 40), "bright": (215, 225, 235, 245, 255)})
    write_images(tmp_path / "val", {"dark": (5, 15, 250, 25), "bright": (220, 230, 240, 250)})
    splits = open_splits(datasets.get("folder"), tmp_path)  # type: ignore[arg-type]
    reader = Reader(view=center_crop(CenterCrop(resize=8, crop=8), IMAGENET), batch_size=4, device="cpu")
    result = evaluate.evaluate(Brightness(), DarkOrBright(), splits.train, splits.test.open(), reader)  # type: ignore[arg-type]
    assert result.acc == 7 / 8
    assert 0 < result.nmi < 1
    assert (result.num_train, result.num_val) == (10, 8)


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        (("0", "1"), (), "has no val/: lay the images out"),
        (("0", "1"), ("0",), "with the same classes in both"),
        (("0",), ("0",), "at least two"),
    ],
)
def test_data_that_cannot_be_evaluated_is_refused_before_any_training(
    train: tuple[str, ...], val: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "data" / "train", dict.fromkeys(train, (0,)))
    if val:
        write_images(tmp_path / "data" / "val", dict.fromkeys(val, (0,)))
    monkeypatch.setattr(runs, "LAUNCHER", "no_such_module")
    with pytest.raises(UserError, match=says):
        ablate.main(args(tmp_path / "data", tmp_path / "out"))


def test_untrained_network_is_evaluated_once(images: Path, tmp_path: Path) -> None:
    evaluator, recipe = Evaluator(images, "cpu"), runs.base_recipe("demo", SMALL)
    first = evaluator.untrained(recipe, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert evaluator.untrained(recipe, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written
    assert 0.2 < first.acc < 1


def test_linear_accuracy_is_that_of_the_linear_benchmarks(images: Path, tmp_path: Path) -> None:
    """Of the same weights and images: one record of `demo-linear` with all labels, and one evaluation."""
    evaluator, recipe = Evaluator(images, "cpu"), runs.base_recipe("demo", SMALL)
    first = evaluator.untrained(recipe, tmp_path)
    (network,) = tmp_path.rglob("backbone.pth")
    overrides = ("labels_per_class=none", "val_fraction=none", "choose_by=metric")
    trial = make_trial("demo-linear", *overrides, data=images, work_dir=tmp_path / "work")
    ref = WeightsRef(name="untrained", source=str(network), sha256=sha256_file(network))
    outcome = task.run(dataclasses.replace(trial, weights=ref))
    assert outcome.metrics["top1"].value == 100 * first.acc
    assert outcome.choices["l2"] == first.l2
