"""A user's own boxes, from files in the usual layouts to a report that names them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import run_module
from tests.integration.test_detection_trial import Oracle
from tests.own_boxes import make_coco
from transfer import benchmarks
from transfer.doctor.own_data import completed
from transfer.record import TrialRecord
from transfer.rows import DenseDataset
from transfer.tasks.detection.config import protocol_config, resolve_config, schedule
from transfer.tasks.detection.data import load_test_dicts, remarks_on_data
from transfer.tasks.detection.evaluate import evaluate
from transfer.tasks.detection.own import SCHEDULES
from transfer.tasks.detection.work import planned_work
from transfer.tasks.own_files import NamedFiles, schedule_for
from transfer.trial import Trial, WeightsRef
from twist_common.errors import UserError

pytestmark = pytest.mark.usefixtures("own_cache")

MODULE = "transfer.commands.transfer_det"
SMALL = (
    "MODEL.RESNETS.DEPTH=18", "MODEL.RESNETS.RES2_OUT_CHANNELS=64", "MODEL.FPN.OUT_CHANNELS=16",
    "MODEL.ROI_BOX_HEAD.CONV_DIM=16", "MODEL.ROI_BOX_HEAD.FC_DIM=32", "MODEL.RPN.POST_NMS_TOPK_TRAIN=10",
    "MODEL.RPN.POST_NMS_TOPK_TEST=10", "INPUT.MIN_SIZE_TRAIN=(64,)", "INPUT.MIN_SIZE_TEST=64",
    "SOLVER.IMS_PER_BATCH=2", "SOLVER.MAX_ITER=2", "SOLVER.STEPS=()", "TEST.PRECISE_BN.ENABLED=False",
    "DATALOADER.NUM_WORKERS=0", "MODEL.ROI_HEADS.SCORE_THRESH_TEST=0.0",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE=8", "MODEL.RPN.BATCH_SIZE_PER_IMAGE=8",
)  # fmt: skip

KINDS = ("", "-frozen", "-any", "-any-frozen")


@pytest.fixture
def coco(digits: Path, tmp_path: Path) -> Path:
    return make_coco(digits, tmp_path / "shapes")


@pytest.fixture
def voc(digits: Path, tmp_path: Path) -> Path:
    """A flat VOC folder with PNGs and the lists ``train`` and ``val``."""
    home, root = digits / "VOCdevkit/VOC2007", tmp_path / "pets"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for theirs, ours, number in (("trainval", "train", 12), ("test", "val", 6)):
        names = (home / f"ImageSets/Main/{theirs}.txt").read_text().split()[:number]
        (root / f"ImageSets/Main/{ours}.txt").write_text("\n".join(names))
        for name in names:
            shutil.copy(home / f"Annotations/{name}.xml", root / "Annotations")
            shutil.copy(home / f"JPEGImages/{name}.jpg", root / f"JPEGImages/{name}.JPEG")
    return root


def trial_on(name: str, root: Path, named: NamedFiles = NamedFiles()) -> Trial:  # noqa: B008 # frozen
    benchmark = benchmarks.get(name)
    return Trial(
        benchmark=replace(benchmark, dataset=completed(benchmark.dataset, root, named)),
        weights=WeightsRef(name="random", source="random:resnet50", sha256="0" * 64),
        seed=0,
        data=root,
        overrides=(),
        device="cpu",
        work_dir=root / "work",
        weights_dir=root / "weights",
    )


def test_a_trial_on_own_data_names_them_and_is_another_when_they_change(voc: Path, tmp_path: Path) -> None:
    """From files in COCO's form to a report: test_own_walk."""
    arguments = ("own-voc", "random:resnet18", *SMALL, "--trials", "1", "--data", voc, "--device", "cpu")
    done = run_module(MODULE, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 training and 6 test images" in done.stdout and "schedule: 2 iterations" in done.stdout
    (file,) = tmp_path.glob("runs/pets/own-voc/*/trial-0/record.json")
    record = TrialRecord.load(file)
    assert record.data_remarks[0].startswith("pets: 10 classes (") and "mask_ap" not in record.metrics
    assert not any(line.startswith(("DATASETS", "MODEL.ROI_HEADS.NUM")) for line in record.protocol_difference)

    image = next((voc / "JPEGImages").iterdir())
    image.write_bytes(image.read_bytes() + b"\n")
    changed = run_module(MODULE, *arguments, cwd=tmp_path)
    assert changed.returncode == 2 and "was made with other settings" in changed.stderr


@pytest.mark.parametrize("name", ["own-coco", "own-voc"])
def test_test_images_among_the_training_images_are_counted(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root: Path = request.getfixturevalue(name.removeprefix("own-"))
    train, test = (
        [next((root / folder).glob("*.jpg")) for folder in ("train", "valid")]
        if name == "own-coco"
        else [
            root / f"JPEGImages/{(root / f'ImageSets/Main/{split}.txt').read_text().split()[0]}.JPEG"
            for split in ("train", "val")
        ]
    )
    shutil.copy(train, test)
    checked = run_module("transfer.commands.check_data", name, "--data", root, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "1 of 6 test images have a near-duplicate among the training images (1 the same bytes)" in checked.stdout


@pytest.mark.parametrize("name", [f"own-{form}{kind}" for form in ("coco", "voc") for kind in KINDS])
def test_the_truth_of_own_data_scores_a_hundred(name: str, request: pytest.FixtureRequest) -> None:
    """Though the test file has other ids for the same categories."""
    root: Path = request.getfixturevalue(name.split("-")[1])
    cfg = resolve_config(trial_on(name, root)).clone()
    cfg.defrost()
    cfg.MODEL.MASK_ON = False
    cfg.DATALOADER.NUM_WORKERS = 0
    metrics, _ = evaluate(cfg, Oracle(load_test_dicts(cfg, root)), root, progress=lambda done, total: None)
    assert metrics == pytest.approx({"box_ap": 100, "box_ap50": 100, "box_ap75": 100})


@pytest.mark.parametrize("name", [f"own-{form}{kind}" for form in ("coco", "voc") for kind in KINDS])
def test_own_data_are_trained_by_epochs_and_a_plan_knows_the_costs(name: str, request: pytest.FixtureRequest) -> None:
    trial = trial_on(name, request.getfixturevalue(name.split("-")[1]))
    cfg, fewest = resolve_config(trial), 500 if "frozen" in name else 2000
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS, len(cfg.OWN.CLASSES)) == (fewest, 100, 10)
    training, *_ = planned_work(trial, "vit_base" if "any" in name else None).phases
    assert training.num_steps == fewest and training.cost is not None


def coco_file(root: Path, folder: str) -> tuple[Path, dict[str, list[dict[str, object]]]]:
    path = root / folder / "_annotations.coco.json"
    return path, json.loads(path.read_text())


def test_categories_without_objects_are_no_classes_and_boxes_alone_need_no_masks(coco: Path) -> None:
    for folder in ("train", "valid"):
        path, content = coco_file(coco, folder)
        content["categories"].append({"id": 0, "name": "all-shapes", "supercategory": "none"})
        next(each for each in content["annotations"] if not each["iscrowd"])["segmentation"] = []
        path.write_text(json.dumps(content))
    cfg = resolve_config(trial_on("own-coco", coco))
    assert (cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.MASK_ON) == (10, False)
    assert any("2 objects have no mask" in remark for remark in remarks_on_data(cfg, coco))


def test_a_class_that_only_the_test_has_is_said(coco: Path) -> None:
    path, content = coco_file(coco, "train")
    content["annotations"] = [each for each in content["annotations"] if each["category_id"] != 7]
    path.write_text(json.dumps(content))
    row = completed(benchmarks.get("own-coco").dataset, coco)
    (remark,) = row.remarks
    assert "no training image has an object of" in remark
    assert isinstance(row, DenseDataset) and len(resolve_config(trial_on("own-coco", coco)).OWN.CLASSES) == 10


def two_test_files(root: Path) -> None:
    shutil.copy(root / "valid/_annotations.coco.json", root / "valid/more.json")


def repeated_name(root: Path) -> None:
    path, content = coco_file(root, "train")
    content["categories"][1]["name"] = content["categories"][0]["name"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (two_test_files, "several files for test, valid/_annotations.coco.json, valid/more.json: name one"),
        (lambda root: shutil.rmtree(root / "train"), "no COCO file with train in its name"),
        (lambda root: (root / "train/_annotations.coco.json").write_text("[]"), "is not of COCO's form"),
        (repeated_name, "several categories of the name"),
        (lambda root: [path.unlink() for path in (root / "train").glob("*.jpg")], "put the images into one of them"),
    ],
)
def test_what_cannot_be_found_is_a_sentence(coco: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(coco)
    with pytest.raises(UserError, match=message):
        completed(benchmarks.get("own-coco").dataset, coco)


def test_files_may_be_named(coco: Path) -> None:
    two_test_files(coco)
    named = NamedFiles(test=Path("valid/more.json"))
    assert resolve_config(trial_on("own-coco", coco, named)).OWN.TEST == ["valid/more.json", "valid"]
    with pytest.raises(UserError, match="there is no file"):
        completed(benchmarks.get("own-coco").dataset, coco, NamedFiles(train=Path("none.json")))


def test_content_is_known_wherever_it_lies_and_changes_with_any_image(coco: Path, tmp_path: Path) -> None:
    dataset = benchmarks.get("own-coco").dataset
    shutil.copytree(coco, tmp_path / "elsewhere")
    assert completed(dataset, coco).content == completed(dataset, tmp_path / "elsewhere").content
    before, image = completed(dataset, coco).content, next((coco / "valid").glob("*.jpg"))
    image.write_bytes(image.read_bytes() + b"\n")
    assert completed(dataset, coco).content != before


def test_the_schedule_is_of_epochs_within_bounds() -> None:
    protocol = schedule(protocol_config(benchmarks.get("voc").config_path, device="cpu"))
    assert schedule_for(100, protocol, **SCHEDULES[False]).iterations == 2000
    assert schedule_for(8000, protocol, **SCHEDULES[False]).iterations == 12000
    assert schedule_for(8000, protocol, **SCHEDULES[False]).milestones == (9000, 11000)
    assert schedule_for(10**6, protocol, **SCHEDULES[False]) == protocol
