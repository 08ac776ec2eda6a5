"""Which of several undeclared configs is the protocol is settled by this repository's own, not by how many have it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.report_records import done
from transfer.benchmarks import BENCHMARKS
from transfer.record import TrialRecord
from transfer.report.compare.results import build_report, procedures
from transfer.tasks.classification.protocol import load_protocol, resolved
from twist_common.files import sha256_text


def of(benchmark: str, text: str, *, seed: int = 0, **changes: object) -> TrialRecord:
    return done(
        {BENCHMARKS[benchmark].main_metric: 50.0 + seed},
        benchmark=benchmark,
        seed=seed,
        resolved_config=text,
        config_sha256=sha256_text(text),
        **changes,
    )


def detection(benchmark: str, device: str) -> str:
    from transfer.tasks.detection.config import protocol_config, resolved_text

    return resolved_text(protocol_config(BENCHMARKS[benchmark].config_path, device=device))


def segmentation(benchmark: str) -> str:
    from transfer.tasks.segmentation.config import dump, load_protocol

    return dump(load_protocol(BENCHMARKS[benchmark].config_path))


def classification(benchmark: str) -> str:
    return resolved(BENCHMARKS[benchmark], load_protocol(BENCHMARKS[benchmark], ())[0], objective="a fact")


def test_trials_on_cpu_and_on_a_gpu_are_one_row_on_protocol() -> None:
    cpu, gpu = detection("voc", "cpu"), detection("voc", "cuda")
    assert cpu != gpu
    report = build_report([of("voc", cpu), of("voc", gpu, seed=1), of("voc", gpu, seed=2)])
    (row,) = report.rows
    assert row.procedure.on_protocol and len(row.done) == 3


@pytest.mark.parametrize(
    ("benchmark", "text", "before", "after", "named"),
    [
        ("voc", detection("voc", "cuda"), "BASE_LR: 0.02", "BASE_LR: 0.04", "SOLVER.BASE_LR: 0.02 -> 0.04"),
        (
            "demo-seg",
            segmentation("demo-seg"),
            '"interval": 10,',
            '"interval": 11,',
            "default_hooks.logger.interval: 10 -> 11",
        ),
        (
            "demo-linear",
            classification("demo-linear"),
            '"tolerance": 1e-05',
            '"tolerance": 1e-04',
            "tolerance: 1e-05 -> 0.0001",
        ),
    ],
    ids=["detection", "segmentation", "classification"],
)
def test_most_trials_with_another_config_do_not_make_it_the_protocol(
    benchmark: str, text: str, before: str, after: str, named: str
) -> None:
    assert text.count(before) == 1
    other = text.replace(before, after)
    found = procedures([of(benchmark, text), *(of(benchmark, other, seed=seed) for seed in (1, 2, 3))])
    assert found[0].on_protocol
    assert {found[index].deviations for index in (1, 2, 3)} == {(named,)}


def test_what_a_protocol_for_any_network_leaves_to_the_weights_is_no_difference() -> None:
    from transfer.tasks.detection.config import protocol_config, resolved_text, with_weights

    records = []
    for seed, arch in enumerate(("resnet18", "resnet34")):
        settings = {"arch": arch, "input_format": "RGB", "pixel_mean": [1.0, 2.0, 3.0], "pixel_std": [4.0, 5.0, 6.0]}
        protocol = protocol_config(BENCHMARKS["voc-any"].config_path, device="cpu")
        record = of("voc-any", resolved_text(with_weights(protocol, settings)), seed=seed)
        weights = dataclasses.replace(record.weights, arch=arch, proof={"settings": settings, "stages": {}})
        records.append(dataclasses.replace(record, weights=weights).sealed())
    assert json.dumps(records[0].resolved_config) != json.dumps(records[1].resolved_config)
    assert all(each.on_protocol for each in procedures(records).values())


def test_what_follows_from_own_data_is_no_difference_and_what_one_trial_has_more_is() -> None:
    fitted = [detection("own-voc", device).replace("NUM_CLASSES: 80", "NUM_CLASSES: 3") for device in ("cpu", "cuda")]
    assert all("NUM_CLASSES: 3" in text for text in fitted)
    longer = fitted[1].replace("BASE_LR: 0.02", "BASE_LR: 0.04")
    assert longer != fitted[1]
    found = procedures([of("own-voc", text, seed=seed) for seed, text in enumerate([*fitted, longer])])
    assert [each.deviations for each in found.values()] == [(), (), ("SOLVER.BASE_LR: 0.02 -> 0.04",)]
