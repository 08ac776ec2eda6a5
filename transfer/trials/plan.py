"""From names on a command line to the trials that have to be run. Imports no torch and no framework."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.files import sha256_file, sha256_text
from transfer.record import RECORD_NAME, TrialRecord
from transfer.rows import Benchmark, DatasetRow
from transfer.trial import RANDOM_PREFIX, WeightsRef

# Names that say nothing about the weights: then the folder's name is used.
GENERIC_STEMS = {"backbone", "checkpoint", "ckpt", "last", "latest", "final", "model", "weights"}


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """All that determines one trial, before anything heavy is imported.

    Attributes:
        runs: root of all records.
        inputs_sha256: hash of benchmark, protocol, weights, seed, overrides and embedded data's fingerprint.
        rescale, labels: see :class:`~transfer.trial.Trial`.
    """

    runs: Path
    suite: str
    benchmark: Benchmark
    weights: WeightsRef
    seed: int
    data: Path
    overrides: tuple[str, ...]
    device: str
    inputs_sha256: str
    rescale: int | None = None
    labels: Path | None = None

    @property
    def trial_dir(self) -> Path:
        weights = f"{self.weights.name}-{self.weights.sha256[:8]}"
        return self.runs / self.suite / self.benchmark.name / weights / f"trial-{self.seed}"

    @property
    def record_path(self) -> Path:
        return self.trial_dir / RECORD_NAME

    @property
    def claim_path(self) -> Path:
        """Who runs the trial (:mod:`transfer.trials.claim`); beside its folder, which may be removed meanwhile."""
        return self.trial_dir.with_name(f".{self.trial_dir.name}.claim")

    @property
    def log_path(self) -> Path:
        """All that the trial's process prints."""
        return self.trial_dir / "log.txt"

    @property
    def weights_dir(self) -> Path:
        """Converted weights, shared by every benchmark of the suite."""
        return self.runs / self.suite / "weights" / f"{self.weights.name}-{self.weights.sha256[:8]}"

    @property
    def label(self) -> str:
        return f"{self.benchmark.name} · {self.weights.name} · seed {self.seed}"

    def finished_record(self) -> TrialRecord | None:
        """The record of this very trial if it is done; None if it is absent or failed.

        Raises:
            UserError: there is a finished record here, made with other settings.
        """
        if not self.record_path.is_file():
            return None
        record = TrialRecord.load(self.record_path)
        if record.status == "failed":
            return None
        if record.inputs_sha256 != self.inputs_sha256:
            raise UserError(
                f"{self.record_path} was made with other settings (protocol, overrides, weights or data): "
                f"choose another --out or --suite, or delete {self.trial_dir} to run it again"
            )
        return record


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
    """One plan for each benchmark × weights × seed; the same seeds for all weights, so that trials are paired.

    Args:
        must_exist: data and labels have to be there; False only to look at what would be run.

    Raises:
        UserError: a data set's folder or the list of labelled images is missing.
    """
    inputs = overrides if rescale is None else (*overrides, f"--rescale {rescale}")
    if labels is not None:
        if must_exist and not labels.is_file():
            raise UserError(f"--labels {labels} is no file: give a list of labelled images, one name a line")
        inputs = (*inputs, f"--labels {sha256_file(labels) if labels.is_file() else None}")
    plans = []
    for benchmark in benchmarks:
        root = data_root(benchmark.dataset, data, must_exist=must_exist)
        for seed in seeds:
            for ref in weights:
                plans.append(
                    TrialPlan(
                        runs=runs,
                        suite=suite,
                        benchmark=benchmark,
                        weights=ref,
                        seed=seed,
                        data=root,
                        overrides=overrides,
                        device=device,
                        inputs_sha256=_inputs_sha256(benchmark, ref, seed, inputs, root),
                        rescale=rescale,
                        labels=labels,
                    )
                )
    return plans


def weights_ref(
    source: str,
    *,
    name: str | None = None,
    which: str = "student",
    arch: str | None = None,
    must_exist: bool = True,
) -> WeightsRef:
    """Names the weights that the user gave: a checkpoint's path, or ``random:<arch>``.

    Args:
        must_exist: a checkpoint has to be there; False only to look at what would be run. Then one that is not there
            has an empty hash.

    Raises:
        UserError: the file is missing or is no file, or ``which`` is neither student nor teacher.
    """
    if which not in ("student", "teacher"):
        raise UserError(f"--which is {which!r}: known are student, teacher")
    if source.startswith(RANDOM_PREFIX):
        _check_random_arch(source)
        default = source.replace(":", "-")
        return WeightsRef(name=_checked_name(name or default), source=source, sha256=sha256_text(source))
    path = Path(source)
    if must_exist and not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise UserError(f"checkpoint {path} {what}: give the path of a .pth file, or random:resnet18")
    path = path.resolve()
    default = path.parent.name if path.stem.lower() in GENERIC_STEMS else path.stem
    return WeightsRef(
        name=_checked_name(name or re.sub(r"[^A-Za-z0-9._-]", "_", default)),
        source=str(path),
        sha256=sha256_file(path) if path.is_file() else "",
        which=which,
        arch=arch,
    )


def _check_random_arch(source: str) -> None:
    arch = source.removeprefix(RANDOM_PREFIX)
    if not re.fullmatch(r"[a-z0-9_]+", arch):
        raise UserError(f"{source!r}: write random:<architecture>, e.g. random:resnet18")


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"the weights' name {name!r} must be of letters, digits, '.', '_' and '-': it names a folder")
    return name


def data_root(row: DatasetRow, given: Path | None, *, must_exist: bool = True) -> Path:
    """The data set's folder: ``given``, else ``$DATA_ROOT/<folder>``, else ``data/<folder>`` beside the packages.

    For what Detectron2 reads, ``$DETECTRON2_DATASETS`` comes in between, with Detectron2's own layout below it.

    Raises:
        UserError: it does not exist.
    """
    repository = Path(__file__).resolve().parents[2]
    root = given or Path(os.environ.get("DATA_ROOT", repository / "data")) / row.folder
    detectron2_root = os.environ.get("DETECTRON2_DATASETS")
    if not root.is_dir() and not given and detectron2_root and row.in_detectron2_root:
        root = Path(detectron2_root)
    if must_exist and not root.is_dir():
        how = "run tools/demo_data.sh" if row.embedded else "give --data DIR or set DATA_ROOT"
        raise UserError(f"no folder {root} with the data of {row.name}: {how}")
    return root.resolve()


def _inputs_sha256(benchmark: Benchmark, weights: WeightsRef, seed: int, overrides: tuple[str, ...], data: Path) -> str:
    inputs = {
        "benchmark": benchmark.name,
        "protocol_version": benchmark.protocol_version,
        "config": _config_sha256(benchmark.config_path),
        "weights": [weights.sha256, weights.which, weights.arch],
        "seed": seed,
        "overrides": sorted(overrides),
        "data": _data_identity(benchmark, data),
    }
    return sha256_text(json.dumps(inputs, sort_keys=True))


def _data_identity(benchmark: Benchmark, data: Path) -> str | None:
    """What tells data of one benchmark apart: the manifest of embedded data; of somebody's own images their folder."""
    manifest = data / "manifest.json"
    if manifest.is_file():
        return sha256_file(manifest)
    return str(data) if benchmark.dataset.is_own else None


def _config_sha256(path: Path) -> str:
    """Hash of a config file and of every base file that it names (``_BASE_`` in YAML, ``_base_`` in Python)."""
    digest = hashlib.sha256()
    waiting = [path]
    while waiting:
        file = waiting.pop(0)
        text = file.read_text(encoding="utf-8")
        digest.update(text.encode())
        for statement in re.findall(r"(?m)^_BASE_:.*$|^_base_\s*=\s*(?:\[[^\]]*\]|.*$)", text):
            waiting += [file.parent / base for base in re.findall(r"""["']?([\w./-]+\.(?:ya?ml|py))""", statement)]
    return digest.hexdigest()
