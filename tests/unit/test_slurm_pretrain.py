"""Pre-training on Slurm: what is refused before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrain import train
from pretrain.on_slurm import PretrainSlurmArgs
from twist_common import slurm
from twist_common.errors import UserError


@pytest.fixture(autouse=True)
def with_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands are on PATH, and refuse whatever they are asked."""
    for program in slurm.PROGRAMS:
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\necho sbatch: error: no such partition >&2\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def args(tmp_path: Path, recipe: str = "demo", **options: object) -> train.Args:
    cluster = PretrainSlurmArgs(**options)  # type: ignore[arg-type]
    return train.Args(recipe=recipe, data=tmp_path, out=tmp_path / "out", launcher="slurm", cluster=cluster)


@pytest.mark.parametrize(
    ("recipe", "options", "sentence"),
    [
        ("rn50", {}, "--gpus-per-node N, or --device cpu"),
        ("rn50", {"gpus_per_node": 0}, "--gpus-per-node is 0"),
        ("demo", {"nodes": 0}, "--nodes is 0"),
        ("demo", {"time": "later"}, "--time is 'later'"),
        ("demo", {"slurm": ("ntasks=3",)}, "ntasks is set by this command"),
        ("demo", {}, "Slurm refuses: .*no such partition"),
    ],
)
def test_misuse_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, recipe: str, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train.main(args(tmp_path, recipe, **options))
    assert not (tmp_path / "out" / "slurm").exists()


def test_options_of_jobs_need_the_launcher(tmp_path: Path) -> None:
    local = train.Args(recipe="demo", data=tmp_path, out=tmp_path, cluster=PretrainSlurmArgs(nodes=2))
    with pytest.raises(UserError, match="--nodes is for jobs of a cluster: give --launcher slurm too"):
        train.main(local)


def test_images_that_are_not_there_are_missed_before_the_job_waits_for_hours(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere with images"):
        train.main(train.Args(recipe="demo", data=tmp_path / "nowhere", out=tmp_path / "out", launcher="slurm"))
