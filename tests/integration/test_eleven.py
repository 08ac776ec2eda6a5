"""Each of the eleven data sets, in its true layout, goes through the doctor and both protocols to a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.classification_fixtures import FIXTURES, Written
from transfer import benchmarks
from transfer.datasets import DATASETS
from transfer.doctor.check import check_dataset
from transfer.record import TrialRecord
from transfer.trials.plan import plan_trials, weights_ref
from transfer.trials.run_one import run_trial
from twist_common.errors import UserError

# Everything small. The images have one colour each, and classes differ in red, so that a linear classifier learns them;
# two steps of fine-tuning need not.
SMALL = {
    "linear": ("resize=32", "crop=32", "l2_grid=[0.000001,0.0001]", "tolerance=0.001"),
    "finetune": (
        "lrs=0.1",
        "weight_decays=0",
        "grid_steps=1",
        "steps=2",
        "batch_size=8",
        "views.size=32",
        "views.resize=32",
    ),
}


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Written]]]:
    """All eleven, read by every trial of this module, on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("eleven")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        yield {name: (root / name, write(root / name)) for name, write in FIXTURES.items()}
    torch.set_num_threads(threads)


def run(name: str, mode: str, root: Path, runs: Path) -> TrialRecord:
    (plan,) = plan_trials(
        runs=runs,
        suite="test",
        benchmarks=[benchmarks.get(f"{name}-{mode}")],
        weights=[weights_ref("random:resnet18", name="random")],
        seeds=[0],
        data=root,
        overrides=SMALL[mode],
        device="cpu",
    )
    return run_trial(plan, lambda done, total, what: None)[0]


@pytest.mark.parametrize("mode", SMALL)
@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_goes_through_doctor_and_trial_to_a_record_with_its_metric(
    name: str, mode: str, fixtures: dict[str, tuple[Path, Written]], tmp_path: Path
) -> None:
    root, written = fixtures[name]
    benchmark = benchmarks.get(f"{name}-{mode}")
    with pytest.raises(UserError, match="splits of the wrong size"):
        check_dataset(benchmark.dataset, root)
    check_dataset(benchmark.dataset, root, counts=False)  # nothing else is wrong

    record = run(name, mode, root, tmp_path / "runs")
    assert (record.status, record.error) == ("done", None)
    metric = DATASETS[name].metric
    assert benchmark.main_metric == metric
    value = record.metrics[metric].value
    assert 0 <= value <= 100
    if mode == "linear":
        (floor,) = (figures[metric] for figures in record.references.values())
        assert floor < value <= record.inflated[metric]
    num_images = len(written.images["test"])
    assert record.test_scorings == [{"split": "test", "num_images": num_images, "purpose": "final scoring"}]
