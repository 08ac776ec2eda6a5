"""Whole detection trials with the real Detectron2 on a few embedded scenes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.few_scenes import NUM_SCENES, make_few_scenes
from tests.outcome_checks import assert_metrics_follow
from transfer import benchmarks
from transfer.processes import Report, launch
from transfer.tasks.detection import evaluate as evaluation
from transfer.tasks.detection import task
from transfer.tasks.detection.config import resolve_config
from transfer.tasks.detection.data import load_dicts
from transfer.tasks.detection.evaluate import NothingDetectedError
from transfer.tasks.detection.task import DetectionJob, run, train_and_test
from transfer.tasks.detection.trainer import STATE_NAME
from transfer.tasks.pictures import GAP, HEIGHT, NUM_PICTURES
from transfer.trial import Outcome, Trial, WeightsRef
from twist_common.errors import UserError
from twist_common.files import sha256_text

SOURCE = "random:resnet18"
# After four iterations scores are low: keep every detection, so that there is something to measure.
SHORT = (
    "SOLVER.MAX_ITER=4",
    "SOLVER.CHECKPOINT_PERIOD=2",
    "SOLVER.IMS_PER_BATCH=2",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0",
)


@pytest.fixture(scope="module")
def few_scenes(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_few_scenes(digits, tmp_path_factory.mktemp("few") / "digits")


@pytest.fixture
def make_trial(few_scenes: Path, tmp_path: Path) -> Callable[..., Trial]:
    def make(name: str, *overrides: str, work: str = "work") -> Trial:
        (tmp_path / work).mkdir(exist_ok=True)
        (tmp_path / "weights").mkdir(exist_ok=True)
        return Trial(
            benchmark=benchmarks.get(name),
            weights=WeightsRef(name="random", source=SOURCE, sha256=sha256_text(SOURCE)),
            seed=1,
            data=few_scenes,
            overrides=(*SHORT, *overrides),
            device="cpu",
            work_dir=tmp_path / work,
            weights_dir=tmp_path / "weights",
        )

    return make


def values(outcome: Outcome) -> dict[str, float]:
    return {name: metric.value for name, metric in outcome.metrics.items()}


def trained(trial: Trial) -> dict[str, torch.Tensor]:
    return torch.load(trial.work_dir / STATE_NAME, weights_only=True)["model"]


class KilledError(Exception):
    """Stands for a kill: raised from the progress call, in the middle of training."""


def test_voc_trial_repeats_bit_for_bit_and_keeps_stdout_clean(
    make_trial: Callable[..., Trial], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_trial("demo-voc", work="first"), make_trial("demo-voc", work="second")
    outcome = run(first)
    assert outcome.metrics.keys() == {"box_ap", "box_ap50", "box_ap75"}
    assert all(0 <= value <= 100 and math.isfinite(value) for value in values(outcome).values())
    assert values(run(second)) == values(outcome)
    assert_metrics_follow(outcome)
    assert all(torch.equal(trained(first)[key], value) for key, value in trained(second).items())
    assert outcome.standing == "off protocol" and outcome.batch == "" and outcome.norm_batch == 2
    assert outcome.arch == "resnet18" and outcome.proof and len(outcome.protocol_difference) == 2
    assert "Starting training" in (first.work_dir / "log.txt").read_text()
    assert list(first.work_dir.glob("events.out.tfevents.*"))
    assert capsys.readouterr().out == ""


def test_pictures_show_the_same_images_in_every_trial(make_trial: Callable[..., Trial]) -> None:
    """Boxes and masks, from two models."""
    shown = {}
    for seed in (1, 2):
        trial = replace(make_trial("demo-coco", "SOLVER.MAX_ITER=1", work=str(seed)), seed=seed)
        outcome = run(trial)
        assert_metrics_follow(outcome)
        assert all(path.is_relative_to(trial.work_dir) for path in outcome.pictures)
        sizes = [Image.open(path).size for path in outcome.pictures]
        assert len(sizes) == NUM_PICTURES and {height for _, height in sizes} == {HEIGHT}
        assert all(width == 2 * HEIGHT + GAP for width, _ in sizes), "square scenes, truth beside detections"
        shown[seed] = {path.name: path.read_bytes() for path in outcome.pictures}
    assert shown[1].keys() == shown[2].keys()
    assert all(shown[1][name] != shown[2][name] for name in shown[1]), "each its own detections"


def test_a_trial_in_parts_resumes_exactly_and_its_record_says_so(
    make_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "parts_of_batch", lambda memory, *, device, num_processes: 2)
    whole, killed = make_trial("demo-voc", work="whole"), make_trial("demo-voc", work="killed")
    expected = run(whole)
    assert expected.batch == "same batch, accumulated ×2 (batch norm over 1 images)" and expected.norm_batch == 1
    assert expected.standing == "off protocol"
    assert expected.protocol_difference[-1] == "batch norm: over 2 images -> over 1"

    def kill(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(replace(killed, progress=kill))
    assert values(run(killed)) == values(expected)
    assert all(torch.equal(trained(killed)[key], value) for key, value in trained(whole).items())


def test_killed_coco_trial_goes_on_and_ends_with_the_same_metrics(make_trial: Callable[..., Trial]) -> None:
    whole, killed = make_trial("demo-coco", work="whole"), make_trial("demo-coco", work="killed")
    expected = run(whole)
    assert expected.metrics.keys() == {f"{kind}_{ap}" for kind in ("box", "mask") for ap in ("ap", "ap50", "ap75")}

    def kill(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(replace(killed, progress=kill))
    steps: list[tuple[int, str]] = []
    resumed = run(replace(killed, progress=lambda done, total, what: steps.append((done, what))))
    assert [done for done, what in steps if what == "training"] == [3, 4], "two iterations were kept"
    assert values(resumed) == values(expected)
    assert all(torch.equal(trained(killed)[key], value) for key, value in trained(whole).items())


@pytest.mark.parametrize("other", ["settings", "data", "protocol"])
def test_a_state_left_by_another_trial_is_not_used(
    make_trial: Callable[..., Trial], tmp_path: Path, other: str
) -> None:
    trial = make_trial("demo-voc")
    (tmp_path / "elsewhere").symlink_to(trial.data)
    newer = replace(trial.benchmark, protocol_version=trial.benchmark.protocol_version + 1)
    left = {
        "settings": make_trial("demo-voc", "SOLVER.BASE_LR=0.002"),
        "data": replace(trial, data=tmp_path / "elsewhere"),
        "protocol": replace(trial, benchmark=newer),
    }
    run(left[other])
    steps: list[int] = []
    run(replace(trial, progress=lambda done, total, what: steps.append(done)))
    assert steps[0] == 1


def test_a_model_that_detects_nothing_is_a_failed_trial(make_trial: Callable[..., Trial]) -> None:
    with pytest.raises(NothingDetectedError, match=f"nothing in {NUM_SCENES} test images"):
        run(make_trial("demo-voc", "SOLVER.MAX_ITER=1", "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.999"))


def test_another_number_of_classes_than_the_datas_is_refused_before_hours_of_training(
    make_trial: Callable[..., Trial],
) -> None:
    steps: list[int] = []
    trial = make_trial("demo-voc", "MODEL.ROI_HEADS.NUM_CLASSES=20")
    with pytest.raises(UserError, match=r"has 10 classes, .*NUM_CLASSES is 20: make them agree"):
        run(replace(trial, progress=lambda done, total, what: steps.append(done)))
    assert not steps and not list(trial.weights_dir.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("MODEL.RESNETS.DEPTH=50",), "the weights are of a resnet18, the config has a resnet50: use weights or"),
        (("INPUT.FORMAT=BGR",), "input_format: RGB -> BGR"),
        (("MODEL.PIXEL_STD=[1.0,1.0,1.0]",), "pixel_std"),
    ],
)
def test_a_config_that_the_proof_does_not_cover_is_refused(
    overrides: tuple[str, ...], message: str, make_trial: Callable[..., Trial]
) -> None:
    with pytest.raises(UserError, match=message):
        run(make_trial("demo-voc", *overrides))


class Oracle(torch.nn.Module):
    """Detects exactly what is annotated."""

    def __init__(self, dicts: list[dict]) -> None:
        super().__init__()
        self.truth = {image["image_id"]: image for image in dicts}

    def forward(self, inputs: list[dict]) -> list[dict]:
        return [{"instances": self.detect(self.truth[image["image_id"]])} for image in inputs]

    def detect(self, image: dict) -> Any:
        from detectron2.structures import Boxes, BoxMode, Instances

        objects = [a for a in image["annotations"] if not a.get("iscrowd", 0)]
        boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in objects]
        found = Instances((image["height"], image["width"]))
        found.pred_boxes = Boxes(torch.tensor(boxes))
        found.scores = torch.ones(len(objects))
        found.pred_classes = torch.tensor([a["category_id"] for a in objects])
        return found


@pytest.mark.parametrize("name", ["demo-voc", "demo-coco"])
def test_evaluation_of_the_truth_gives_a_hundred_percent(name: str, make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(name, "MODEL.MASK_ON=False")
    cfg = resolve_config(trial)
    model = Oracle(load_dicts(cfg.DATASETS.TEST, trial.data))
    metrics, _ = evaluation.evaluate(cfg, model, trial.data, progress=lambda done, total: None)
    assert metrics == pytest.approx({"box_ap": 100, "box_ap50": 100, "box_ap75": 100})


def test_two_processes_share_a_trial(make_trial: Callable[..., Trial]) -> None:
    """Trains and tests in two gloo processes, and tests a model that was trained by one process."""
    trial = make_trial("demo-voc", work="one")
    expected = values(run(trial))
    job = DetectionJob(
        cfg=resolve_config(trial),
        weights=next(trial.weights_dir.rglob("*.pkl")),
        data=trial.data,
        seed=trial.seed,
        work_dir=trial.work_dir,
        fingerprint=torch.load(trial.work_dir / STATE_NAME, weights_only=True)["fingerprint"],
    )
    (trial.work_dir / "two").mkdir()
    steps: list[tuple[int, int, str]] = []
    in_two = launch(
        evaluate_then_train,
        (job, replace(job, work_dir=trial.work_dir / "two")),
        num_processes=2,
        device="cpu",
        progress=lambda *step: steps.append(step),
    )
    assert in_two["tested"] == expected
    assert in_two["largest difference"] == 0.0
    assert (4, 4, "training") in steps and (NUM_SCENES, NUM_SCENES, "testing") in steps


def evaluate_then_train(jobs: tuple[DetectionJob, DetectionJob], report: Report) -> dict[str, object]:
    """Called in each process. The first job's training is done; the second's starts from the beginning."""
    from detectron2.utils import comm

    finished, fresh = jobs
    tested, *_ = train_and_test(finished, report)
    model = train_and_return_model(fresh, report)
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    difference = max((weights - other).abs().max().item() for other in comm.all_gather(weights))
    return {"tested": tested, "largest difference": difference}


def train_and_return_model(job: DetectionJob, report: Report) -> torch.nn.Module:
    from transfer.tasks.detection import data, trainer, weights
    from transfer.tasks.detection.model import seeded_model

    model = seeded_model(job.cfg, job.seed)
    weights.load_backbone_weights(model, job.weights)
    trainer.train(
        job.cfg,
        model,
        data.load_dicts(job.cfg.DATASETS.TRAIN, job.data),
        seed=job.seed,
        work_dir=job.work_dir,
        fingerprint=job.fingerprint,
        progress=lambda done, total: report(done, total, "training"),
    )
    return model
