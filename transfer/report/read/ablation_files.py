"""Outcomes of ablations, as ``tools/ablate.sh`` writes them in ``ablation.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from transfer.report.read.pretraining import Pretraining
from twist_common.files import sha256_text
from twist_common.strict_json import number, numbers, read_object, text, texts, whole

FORMAT = "twist-transfer ablation"
VERSION = 1


@dataclass(frozen=True)
class AblationRun:
    """One setting with one seed.

    Attributes:
        value: the swept number, None where nothing is swept.
        folder: of the run, relative to the outcome's.
        figures: accuracy and NMI in percent, everything else as it was logged; empty for a run without a result.
        sentinel: warnings of a collapse.
        failure: why there is no result.
    """

    setting: str
    overrides: tuple[str, ...]
    value: float | None
    seed: int
    recipe_sha256: str
    folder: str
    figures: dict[str, float]
    sentinel: tuple[str, ...]
    failure: str | None


@dataclass(frozen=True)
class Ablation:
    """A study with all its runs.

    Attributes:
        columns: figures to show, ``meanings`` what they are.
        swept: what ``AblationRun.value`` is; None where the settings are not numbers.
        untrained: figures of the network as it is initialised.
        edited: whether the file is no longer what its hash says.
        content: of the file, for archives.
        courses: of those runs whose logs were found, labelled with their settings.
    """

    study: str
    title: str
    recipe: str
    overrides: tuple[str, ...]
    data: str
    num_train: int
    num_val: int
    columns: tuple[str, ...]
    meanings: dict[str, str]
    swept: str | None
    untrained: dict[str, float]
    runs: tuple[AblationRun, ...]
    edited: bool
    content: bytes
    courses: tuple[Pretraining, ...] = ()

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...], str]:
        """Two outcomes with the same identity must agree."""
        return self.study, self.recipe, self.overrides, self.data

    @property
    def label(self) -> str:
        """E.g. ``"demo ablation terms"``."""
        return " ".join([self.recipe, "ablation", self.study, *self.overrides])

    def by_setting(self) -> dict[str, list[AblationRun]]:
        """The runs of each setting, in the study's order."""
        settings: dict[str, list[AblationRun]] = {}
        for run in self.runs:
            settings.setdefault(run.setting, []).append(run)
        return settings


def values(runs: list[AblationRun], name: str) -> dict[int, float]:
    """Seed to figure, over the runs that have a result."""
    return {run.seed: run.figures[name] for run in runs if name in run.figures}


def read(content: bytes, where: str) -> Ablation:
    """The content of an ``ablation.json``. Raises UserError if it is not such a file."""

    def build(raw: dict[str, Any]) -> Ablation:
        hashed = {name: value for name, value in raw.items() if name != "content_sha256"}
        return Ablation(
            study=text(raw, "study"),
            title=text(raw, "title"),
            recipe=text(raw, "recipe"),
            overrides=texts(raw, "overrides"),
            data=text(raw, "data"),
            num_train=whole(raw, "num_train"),
            num_val=whole(raw, "num_val"),
            columns=texts(raw, "columns"),
            meanings={name: str(meaning) for name, meaning in raw["meanings"].items()},
            swept=None if raw["swept"] is None else text(raw, "swept"),
            untrained=numbers(raw, "untrained"),
            runs=tuple(_run(each) for each in raw["runs"]),
            edited=raw["content_sha256"]
            != sha256_text(json.dumps(hashed, sort_keys=True, separators=(",", ":"), allow_nan=False)),
            content=content,
        )

    return read_object(content, where, form=FORMAT, version=VERSION, build=build)


def _run(raw: dict[str, Any]) -> AblationRun:
    run = AblationRun(
        setting=text(raw, "setting"),
        overrides=texts(raw, "overrides"),
        value=None if raw["value"] is None else number(raw["value"], "value"),
        seed=whole(raw, "seed"),
        recipe_sha256=text(raw, "recipe_sha256"),
        folder=text(raw, "folder"),
        figures=numbers(raw, "figures"),
        sentinel=texts(raw, "sentinel"),
        failure=None if raw["failure"] is None else text(raw, "failure"),
    )
    if run.failure and run.figures:
        raise ValueError(f"the run {run.setting!r}, seed {run.seed} failed and has figures")
    return run
