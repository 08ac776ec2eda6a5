"""From names on a command line to the trials that have to be run. Imports no torch and no framework."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from transfer.hub_source import hub_source
from transfer.reading import NOTHING_SAID, Reading
from transfer.record import RECORD_NAME, Repeats, TrialRecord
from transfer.rows import Benchmark, DatasetRow
from transfer.timm_source import TIMM_PREFIX, named_checkpoint
from transfer.trial import RANDOM_PREFIX, Trial, TrialSettings, WeightsRef, silent
from transfer.weights.backbone.read import sha256_of
from twist_common import places
from twist_common.errors import UserError
from twist_common.files import sha256_file, sha256_text
from twist_common.overrides import check_once

# File names that say nothing about the weights: the folder's name is used instead.
GENERIC_STEMS = {"backbone", "checkpoint", "ckpt", "last", "latest", "final", "model", "weights"}

MAX_SUITE = 200  # characters; a file's name has 255 bytes


@dataclass(frozen=True, kw_only=True)
class TrialPlan(TrialSettings):
    """Everything that determines one trial, before anything heavy is imported.

    Attributes:
        runs: root of all records.
        inputs_sha256: hash of benchmark, protocol, weights, seed, overrides and the embedded data's fingerprint.
        repeats: known after the preflight (:func:`transfer.preflight.check.check_before_trials`).
    """

    runs: Path
    suite: str
    inputs_sha256: str
    repeats: Repeats | None = None

    @property
    def trial_dir(self) -> Path:
        return self.runs / self.suite / self.benchmark.name / self.weights.folder / f"trial-{self.seed}"

    @property
    def record_path(self) -> Path:
        return self.trial_dir / RECORD_NAME

    @property
    def claim_path(self) -> Path:
        """Says who runs the trial (:mod:`transfer.trials.claim`); beside the trial's folder, which may be removed."""
        return self.trial_dir.with_name(f".{self.trial_dir.name}.claim")

    @property
    def log_path(self) -> Path:
        """Everything that the trial's process prints."""
        return self.trial_dir / "log.txt"

    @property
    def weights_dir(self) -> Path:
        """Converted weights, shared by all benchmarks of the suite."""
        return self.runs / self.suite / "weights" / self.weights.folder

    @property
    def label(self) -> str:
        return f"{self.benchmark.name} · {self.weights.name} · seed {self.seed}"

    def main_result(self, record: TrialRecord) -> str:
        """The benchmark's main metric as people read it, e.g. ``"top1 77.00"``; empty if the record lacks it."""
        metric = record.metrics.get(self.benchmark.main_metric)
        return f"{self.benchmark.main_metric} {metric.value:.2f}" if metric else ""

    def trial(self, progress: Callable[[int, int, str], None] = silent) -> Trial:
        """The trial as its task is given it. Its folders are not made yet."""
        settings = {each.name: getattr(self, each.name) for each in fields(TrialSettings)}
        work_dir = self.trial_dir / "work"
        return Trial(**settings, work_dir=work_dir, weights_dir=self.weights_dir, progress=progress)


def plan_trials(
    *,
    runs: Path,
    suite: str,
    benchmarks: Sequence[Benchmark],
    weights: Sequence[WeightsRef],
    seeds: Sequence[int],
    data: Path | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "cpu",
    rescale: int | None = None,
    must_exist: bool = True,
    labels: Path | None = None,
) -> list[TrialPlan]:
    """One plan for each benchmark × weights × seed; all weights have the same seeds, so that trials are paired.

    Args:
        must_exist: whether data and labels have to be there; False only to look at what would be run.

    Raises:
        UserError: a data set's folder or the list of labelled images is missing, or the suite names no single folder.
    """
    # Own data's folder may be called anything; records refuse what cannot be printed, which is too late.
    if Path(suite).name != suite or suite in ("", "..") or not suite.isprintable() or len(suite) > MAX_SUITE:
        raise UserError(f"--suite is {suite!r}: give the name of one folder below --out, in printable characters")
    check_once(overrides)
    settings = overrides if rescale is None else (*overrides, f"--rescale {rescale}")
    if labels is not None:
        if must_exist and not labels.is_file():
            raise UserError(f"--labels {labels} is no file: give a list of labelled images, one name per line")
        settings = (*settings, f"--labels {sha256_file(labels) if labels.is_file() else None}")
    plans = []
    for benchmark in benchmarks:
        root = data_root(benchmark.dataset, data, must_exist=must_exist)
        manifest = root / "manifest.json"  # of embedded data
        identity = sha256_file(manifest) if manifest.is_file() else None
        if benchmark.dataset.is_own:  # by the folder alone where a plan is made before there are any files
            identity = benchmark.dataset.content or str(root)
        inputs = {
            "benchmark": benchmark.name,
            "protocol_version": benchmark.protocol_version,
            "config": _config_sha256(benchmark.config_path),
            "overrides": sorted(settings),
            "data": identity,
        }
        for seed in seeds:
            for ref in weights:
                of_trial = inputs | {"weights": [ref.sha256, ref.which, ref.arch, *ref.reading.key], "seed": seed}
                plan = TrialPlan(
                    runs=runs,
                    suite=suite,
                    benchmark=benchmark,
                    weights=ref,
                    seed=seed,
                    data=root,
                    overrides=overrides,
                    device=device,
                    inputs_sha256=sha256_text(json.dumps(of_trial, sort_keys=True)),
                    rescale=rescale,
                    labels=labels,
                )
                plans.append(plan)
    return plans


def weights_ref(
    source: str,
    *,
    name: str | None = None,
    which: str = "student",
    arch: str | None = None,
    reading: Reading = NOTHING_SAID,
    must_exist: bool = True,
) -> WeightsRef:
    """Names the weights that the user gave: a path, ``timm:NAME[@FILE]``, ``hf://...`` or ``random:<arch>``.

    Args:
        must_exist: whether a checkpoint has to be there; False only to look at what would be run. A missing one then
            has an empty hash.

    Raises:
        UserError: the file is missing, or a folder of no checkpoint, or ``which`` is neither student nor teacher.
    """
    if which not in ("student", "teacher"):
        raise UserError(f"--which is {which!r}: known are student, teacher")
    reading.check()
    if source.startswith(RANDOM_PREFIX):
        if arch is not None or reading != NOTHING_SAID:
            raise UserError(f"{source} is read from no file: leave out --arch and what says how to read one")
        if not re.fullmatch(r"(timm:)?[a-z0-9_.]+", source.removeprefix(RANDOM_PREFIX)):
            raise UserError(f"{source!r}: write random:<architecture>, e.g. random:resnet18")
        default = source.replace(":", "-")
        return WeightsRef(name=_checked_name(name or default), source=source, sha256=sha256_text(source))
    path, arch = named_checkpoint(source, arch)
    if must_exist and not path.exists():
        raise UserError(f"checkpoint {path} does not exist: give the path of a .pth file, or random:resnet18")
    hub = hub_source(source)
    # files in the hub's cache are links, and their config.json is beside the link
    path = path.absolute() if hub or source.startswith(TIMM_PREFIX) else path.resolve()
    default = path.parent.name if path.stem.lower() in GENERIC_STEMS else path.stem
    if hub is not None:  # all its files have the same names
        default = hub[1]
    elif source.startswith(TIMM_PREFIX) and "@" not in source:
        default = arch or default
    return WeightsRef(
        name=_checked_name(re.sub(r"[^A-Za-z0-9._-]", "_", default) if name is None else name),
        source=str(path),
        sha256=sha256_of(path) if path.exists() else "",
        which=which,
        arch=arch,
        reading=reading,
    )


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9._-]+)?", name):
        raise UserError(
            f"the weights' name {name!r} may have letters, digits, '.', '_' and '-' only, as it names a folder, and "
            "one '@' before the name of a pre-training run: twist@run0"
        )
    return name


def data_root(row: DatasetRow, given: Path | None, *, must_exist: bool = True) -> Path:
    """The data set's folder: ``given``, else where :func:`twist_common.places.data_root` says.

    For what Detectron2 reads, ``$DETECTRON2_DATASETS`` comes in between, with Detectron2's own layout below it.

    Raises:
        UserError: it does not exist.
    """
    root = given or places.data_root() / row.folder
    detectron2_root = os.environ.get("DETECTRON2_DATASETS")
    if not root.is_dir() and not given and detectron2_root and row.in_detectron2_root:
        root = Path(detectron2_root)
    if must_exist and not root.is_dir():
        how = "run tools/demo_data.sh" if row.embedded else "give --data DIR or set DATA_ROOT (docs/data.md)"
        raise UserError(f"no folder {root} with the data of {row.name}: {how}")
    return root.resolve()


def _config_sha256(path: Path) -> str:
    """Hash of a config file and of every base file that it names (``_BASE_`` in YAML, ``_base_`` in Python)."""
    digest = hashlib.sha256()
    waiting = [path]
    while waiting:
        file = waiting.pop(0)
        text = file.read_text(encoding="utf-8")
        # as the package was called when the first records were made, so that they are still those of this config
        digest.update(text.replace("from twist_configs", "from configs").encode())
        for statement in re.findall(r"(?m)^_BASE_:.*$|^_base_\s*=\s*(?:\[[^\]]*\]|.*$)", text):
            waiting += [file.parent / base for base in re.findall(r"""["']?([\w./-]+\.(?:ya?ml|py))""", statement)]
    return digest.hexdigest()
