"""What the tasks tell of their work, against the frameworks' own configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pretrain.model import BACKBONES, build_backbone
from tests.detection_configs import trial
from tests.report_records import done
from tests.unit.test_planner_estimate import work_of
from transfer import benchmarks
from transfer.benchmarks import BENCHMARKS, CLASSIFICATION, CLUSTERING, DETECTION, SEGMENTATION
from transfer.planner.flop import of_work
from transfer.planner.history import PastTrial
from transfer.task import task_of
from transfer.tasks.costs import COSTS, NUM_FEATURES, REST
from transfer.tasks.detection.config import resolve_config, resolved_text
from transfer.tasks.segmentation import config as segmentation
from transfer.work import BackbonePass, Phase, Work, variant

OF_DETECTION = [name for name, each in BENCHMARKS.items() if each.task == DETECTION and not each.dataset.is_own]
OF_IMAGES = [name for name, benchmark in BENCHMARKS.items() if benchmark.task in (CLASSIFICATION, CLUSTERING)]
OF_SEGMENTATION = [name for name, each in BENCHMARKS.items() if each.task == SEGMENTATION and not each.dataset.is_own]


def phases(work: Work) -> dict[str, tuple[int, int]]:
    return {phase.what: (phase.num_steps, phase.num_images) for phase in work.phases}


def recorded_work(name: str, resolved_config: str, *difference: str) -> Work:
    record = done(1.0, benchmark=name, resolved_config=resolved_config, protocol_difference=list(difference))
    work = PastTrial(record, Path("nowhere")).work
    assert work is not None
    return work


@pytest.mark.parametrize("name", OF_DETECTION)
@pytest.mark.parametrize("overrides", [(), ("SOLVER.MAX_ITER=300", "SOLVER.STEPS=(200,)")])
def test_detection_reads_what_detectron2_resolves(name: str, overrides: tuple[str, ...]) -> None:
    solver = resolve_config(trial(name, *overrides)).SOLVER
    found = phases(work_of(name, *overrides))
    assert found["training"] == (solver.MAX_ITER, solver.MAX_ITER * solver.IMS_PER_BATCH)
    assert found["testing"][1] == {"voc": 4952, "coco": 5000, "digits": 100}[benchmarks.get(name).dataset.name]


@pytest.mark.parametrize("name", ["voc", "coco-any", "demo-voc"])
def test_a_detection_record_tells_the_same_work_as_its_plan(name: str) -> None:
    """AdamW has keys that plain Detectron2 does not know."""
    assert recorded_work(name, resolved_text(resolve_config(trial(name)))) == work_of(name, arch="resnet18")


def test_detection_follows_a_rescaled_batch() -> None:
    solver = resolve_config(trial("voc", rescale=4)).SOLVER
    assert phases(work_of("voc", rescale=4))["training"] == (solver.MAX_ITER, 4 * solver.MAX_ITER)
    assert solver.MAX_ITER == 96000


@pytest.mark.parametrize("name", OF_SEGMENTATION)
def test_a_segmentation_record_tells_the_same_work_as_its_plan(name: str) -> None:
    config, _ = segmentation.resolve_config(segmentation.load_protocol(benchmarks.get(name).config_path))
    planned = work_of(name, arch="resnet18")
    assert recorded_work(name, segmentation.dump(config)) == planned
    iterations, batch_size = config.train_cfg.max_iters, config.train_dataloader.batch_size
    assert phases(planned)["training"] == (iterations, iterations * batch_size)
    assert phases(planned)["testing"][1] == (config.num_images or {"test": 100})["test"]


def test_k_means_is_fitted_to_no_more_images_than_there_are() -> None:
    assert phases(work_of("imagenet-kmeans"))["training images"][1] == 100_000
    assert phases(work_of("imagenet-kmeans", "kmeans_images=2000000"))["training images"][1] == 1_281_167


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_benchmark_on_whole_images_can_be_planned(name: str) -> None:
    """Its work is described, with images to count, or it is said to be unknown by having no phases."""
    work = work_of(name, arch="resnet18")
    assert work.arch == "resnet18"
    assert all(phase.num_images > 0 for phase in work.phases)


def test_fine_tuning_keeps_the_last_smaller_batch_of_each_epoch() -> None:
    steps = {
        name: phases(work_of(name, arch="resnet50"))["fine-tuning"][0] for name in ("imagenet-1pct", "imagenet-10pct")
    }
    assert steps == {"imagenet-1pct": 20 * 51, "imagenet-10pct": 20 * 501}


def test_a_backbone_pass_counts_three_times_where_it_is_trained() -> None:
    cost = BackbonePass("resnet18", 224)
    trained, tested = (
        of_work(Work(arch="resnet18", phases=(Phase(what="", num_images=1, trains=trains, cost=cost),)))
        for trains in (True, False)
    )
    assert trained and tested and trained.total == 3 * tested.total
    assert tested.total / 2 == pytest.approx(1.814e9, rel=0.001)  # torchvision's _ops, less the classifier


def test_what_nobody_counted_or_described_has_no_operations() -> None:
    assert of_work(Work(arch=None, phases=())) is None
    assert of_work(work_of("voc", "MODEL.ROI_BOX_HEAD.NUM_CONV=2")) is None


def test_changes_are_compared_in_the_users_and_in_the_records_form() -> None:
    prefixes = ("MODEL.",)
    of_user = variant(("SOLVER.MAX_ITER=5", "MODEL.FPN.NORM=GN"), prefixes)
    assert of_user == variant(("MODEL.FPN.NORM: SyncBN -> GN", "SOLVER.MAX_ITER: 9 -> 5"), prefixes)
    assert of_user == ("MODEL.FPN.NORM=GN",)


def test_every_dense_benchmark_has_its_costs() -> None:
    of_one_network = {name for name in (*OF_DETECTION, *OF_SEGMENTATION) if benchmarks.get(name).arch}
    assert set(COSTS) == of_one_network
    assert set(REST) == {*OF_DETECTION, *OF_SEGMENTATION} - of_one_network
    for name, counted in COSTS.items():
        assert (counted.num_trained < counted.num_parameters) == name.endswith("-frozen")


@pytest.mark.parametrize(
    ("name", "resnets"),
    [
        ("voc-any", "voc"),
        ("voc-any-frozen", "voc-frozen"),
        ("seg-voc-any", "seg-voc"),
        ("seg-cityscapes-any-frozen", "seg-cityscapes-frozen"),
    ],
)
def test_a_network_of_any_kind_costs_what_it_adds_to_pyramid_and_heads(name: str, resnets: str) -> None:
    """With a ResNet-50 that is nearly what the framework's own costs; a ViT-S/14 costs more, with its parameters."""
    found, expected = work_of(name, arch="resnet50"), work_of(resnets)
    for mine, its in zip(found.phases, expected.phases, strict=True):
        costs = [of_work(Work(arch="", phases=(phase,))) for phase in (mine, its)]
        assert costs[0] and costs[1] and costs[0].total == pytest.approx(costs[1].total, rel=0.1), mine.what
    assert found.variant == () and found.arch == "resnet50"
    plain = work_of(name, arch="vit_small_patch14_dinov2")
    assert plain.arch == "vit_small_patch14_dinov2"
    (first, second) = (of_work(each) for each in (plain, found))
    assert first and second and first.products > 5 * second.products
    assert work_of(name, arch=None).phases[0].cost is None, "nobody knows the network yet"
    adam = plain.disk["checkpoints"]
    assert adam > 12 * 22e6 if not name.endswith("frozen") else adam < 12 * 22e6 + 4 * 23e6


@pytest.mark.parametrize("name", ["demo-voc-frozen", "demo-seg-frozen"])
def test_costs_are_what_counting_gives(name: str, mmengine_on_one_thread: None) -> None:
    """The two cheapest, one of each framework; ``python -m transfer.tasks.count`` counts all."""
    from transfer.tasks.detection import counting as detection
    from transfer.tasks.segmentation import counting

    benchmark, expected = benchmarks.get(name), COSTS[name]
    found = (detection if benchmark.task == DETECTION else counting).count(benchmark)
    assert (found.num_parameters, found.num_trained) == (expected.num_parameters, expected.num_trained)
    assert found.train.convolutions == pytest.approx(expected.train.convolutions, rel=0.001)
    assert found.test.convolutions == pytest.approx(expected.test.convolutions, rel=0.001)


def test_features_of_every_backbone_are_counted() -> None:
    with torch.device("meta"):
        networks = {name: build_backbone(name) for name in BACKBONES}
    assert {name: network.num_features for name, network in networks.items()} == NUM_FEATURES


def test_every_benchmark_of_known_images_has_its_work_described_and_the_architecture_of_its_config() -> None:
    for benchmark in BENCHMARKS.values():
        work = work_of(benchmark.name, arch="resnet50")
        assert bool(work.phases) == bool(benchmark.dataset.counts), benchmark.name
        assert work.arch == (benchmark.arch or "resnet50")


def test_a_probe_of_each_dense_benchmark_is_a_valid_trial() -> None:
    for name in OF_SEGMENTATION:
        cut = task_of(benchmarks.get(name)).shortened(work_of(name), 20)
        config, _ = segmentation.resolve_config(segmentation.load_protocol(benchmarks.get(name).config_path), cut)
        assert config.train_cfg.max_iters == 20
    for name in OF_DETECTION:
        cut = task_of(benchmarks.get(name)).shortened(work_of(name), 20)
        assert resolve_config(trial(name, *cut)).SOLVER.MAX_ITER == 20


def test_a_checkpoint_is_parameters_and_the_optimizers_values() -> None:
    counted = COSTS["voc"]
    assert work_of("voc").disk == {"checkpoints": 4 * (counted.num_parameters + counted.num_trained)}
    seg = COSTS["seg-voc"]  # MMEngine keeps two
    assert work_of("seg-voc").disk == {"checkpoints": 2 * 4 * (seg.num_parameters + seg.num_trained)}
    assert counted.checkpoint_bytes(adam=True) == 4 * (counted.num_parameters + 2 * counted.num_trained)
    assert json.dumps(work_of("demo-voc").disk) == "{}"
