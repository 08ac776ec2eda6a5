"""What the fields of a record can be, beyond their types: with room above anything that a trial writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from twist_common.strict_json import brief

MAX_RECORD_BYTES = 4 << 20  # a trial on COCO takes 20 kB
MAX_ENTRIES = 1_000  # of each list and object
MAX_NAME = 500  # characters of a name or a version
MAX_TEXT = 1_000_000  # characters of a config, an error, a path or a remark
MAX_COUNT = 2**31 - 1  # of seeds, versions and batches
MAX_COST = 2**60  # seconds, hours and bytes
SIGNED_METRICS = frozenset({"silhouette", "ari", "ami", "ami_max"})  # chance is 0, and worse than chance is below
# Errors, of which a lower figure is better, with the highest: in cm, of depths up to 10 m; and in percent of depths
# from 1 mm on.
ERRORS = {"rmse_cm": 1_000.0, "abs_rel": 1_000_000.0}
STANDINGS = ("", "on protocol", "rescaled", "off protocol")
COLLECTIONS = (
    "metrics", "references", "inflated", "choices", "packages", "files",
    "test_scorings", "pictures", "protocol_difference", "data_remarks",
)  # fmt: skip


def metric_range(metric: str) -> tuple[float, float]:
    """Lowest and highest figure: 0 and 100 percent, from -100 for :data:`SIGNED_METRICS`, up to another for errors."""
    return -100.0 if metric in SIGNED_METRICS else 0.0, ERRORS.get(metric, 100.0)


def direction_of(metric: str) -> Literal["higher", "lower"]:
    """Which figures of a metric are better."""
    return "lower" if metric in ERRORS else "higher"


def out_of_range(metric: str, value: float) -> bool:
    """Whether no figure of the metric can be this, by :func:`metric_range`; NaN is none."""
    lowest, highest = metric_range(metric)
    return not lowest - 1e-6 <= value <= highest + 1e-6  # means of many figures round


def out_of_bounds(record: Any) -> Iterator[str]:
    """One sentence for each field of a :class:`~transfer.record.TrialRecord` that is of its type and yet cannot be.

    Figures are judged by :func:`out_of_range`.
    """
    yield from _names(record)
    for what in COLLECTIONS:
        if len(getattr(record, what)) > MAX_ENTRIES:
            yield f"{what} has {len(getattr(record, what))} entries, more than {MAX_ENTRIES}"
    texts = (record.resolved_config, record.error or "", record.weights.source, record.processor)
    for text in (*texts, *record.protocol_difference, *record.data_remarks, *record.pictures):
        if len(text) > MAX_TEXT:
            yield f"a text has {len(text)} characters, more than {MAX_TEXT}"
    yield from _numbers_and_hashes(record)
    if record.standing not in STANDINGS:
        yield f"standing is {brief(record.standing)}: on protocol, rescaled or off protocol"
    yield from _test_scorings(record.test_scorings)
    if (found := record.repeats) and not 0 <= found.exact <= found.near_duplicates <= found.test_images <= MAX_COUNT:
        yield f"repeats are {found}, which no images have"
    yield from _proof(record.weights.proof)


def _names(record: Any) -> Iterator[str]:
    weights = record.weights
    needed = {
        "suite": record.suite,
        "benchmark": record.benchmark,
        "the weights' name": weights.name,
        "source_format": weights.source_format,
        "arch": weights.arch,
    }
    others = [record.git_commit, record.device, record.batch, *record.packages.values()]
    for names in (record.metrics, record.references, record.inflated, record.choices, record.packages, record.files):
        others += names
    for what, name in [*needed.items(), *(("a name", name) for name in others)]:
        if len(name) > MAX_NAME or not name.isprintable():
            yield f"{what} is {brief(name)}: more than {MAX_NAME} characters, or one that cannot be printed"
    for what, name in needed.items():
        if not name:
            yield f"{what} is empty"


def _numbers_and_hashes(record: Any) -> Iterator[str]:
    hashes = {"inputs_sha256": record.inputs_sha256, "the weights' sha256": record.weights.sha256}
    optional = ("config_sha256", "ledger", "metrics_sha256", "seal")
    hashes |= {name: getattr(record, name) for name in optional if getattr(record, name)}
    hashes |= {f"the hash of {brief(name)}": digest for name, digest in record.files.items()}
    for what, digest in hashes.items():
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield f"{what} is {brief(digest)}, not a SHA-256"
    for what in ("seed", "protocol_version", "norm_batch"):
        if not 0 <= (getattr(record, what) or 0) <= MAX_COUNT:
            yield f"{what} is {brief(getattr(record, what))}, not from 0 to {MAX_COUNT}"
    for what in ("wall_seconds", "device_hours", "peak_bytes"):
        if not 0 <= getattr(record, what) <= MAX_COST:
            yield f"{what} is {brief(getattr(record, what))}, which no trial takes"


def _test_scorings(scorings: list[dict[str, Any]]) -> Iterator[str]:
    for scoring in scorings:
        if missing := {"split", "num_images", "purpose"} - scoring.keys():
            yield f"a test scoring has no {min(missing)}"
        elif type(scoring["num_images"]) is not int or not 0 <= scoring["num_images"] <= MAX_COUNT:
            yield f"num_images of a test scoring is {brief(scoring['num_images'])}, not a count"
        elif not isinstance(scoring["split"], str) or not isinstance(scoring["purpose"], str):
            yield "the split or the purpose of a test scoring is not a text"


def _proof(proof: dict[str, Any] | None) -> Iterator[str]:
    stages = (proof or {}).get("stages", {})
    if not isinstance(stages, dict):
        yield f"the stages of the weights' proof are {brief(stages)}, not an object"
        return
    for name, stage in stages.items():
        difference: Any = stage.get("max_abs_difference") if isinstance(stage, dict) else None
        if type(difference) not in (int, float) or not 0 <= difference <= MAX_COST:
            yield f"stage {brief(name)} of the weights' proof has the difference {brief(difference)}"
