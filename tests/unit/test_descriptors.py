"""Few descriptors: a file that cannot be opened for want of one is not damaged; the command says what is wanting."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import twist_configs.pretrain
from pretrain.data import listing
from pretrain.data.dataset import TwistDataset
from pretrain.run import checkpoint
from tests.conftest import run_program
from transfer.doctor.boxes import _check_voc_image
from transfer.doctor.depths import listed_pairs
from transfer.doctor.files import check_image, read_list, read_or_note
from transfer.doctor.findings import UNREADABLE_ANNOTATION, Findings
from transfer.doctor.objects import Objects
from transfer.report.read.archive import read_archive
from transfer.report.read.trials import read_below
from transfer.tasks.classification import label_list
from transfer.tasks.classification.datasets.home import read_rgb
from transfer.tasks.detection import own_coco, own_voc
from twist_common import overrides, shards, strict_json
from twist_common.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    before, free = resource.getrlimit(resource.RLIMIT_NOFILE), os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


READERS: dict[str, Callable[[Path], object]] = {
    "image": lambda path: check_image(path, None, Findings(path.parent)),
    "mask": lambda path: read_or_note(
        path, lambda path: np.asarray(Image.open(path)), UNREADABLE_ANNOTATION, Findings(path.parent)
    ),
    "list": lambda path: read_list(path, lambda path: path.read_text().split(), Findings(path.parent)),
    "depths": lambda path: listed_pairs(path.name, Findings(path.parent)),
    "boxes": lambda path: _check_voc_image([], Objects(), Findings(path.parent), (path.parent, path.stem)),
    "classes": own_voc._classes,
    "shard": lambda path: list(shards._samples(path)),
    "JSON or a record": strict_json.read_bounded,
    "checkpoint": checkpoint.load,
    "archive": read_archive,
    "file beside a record": lambda path: read_below(path.parent, path.name),
    "list to pre-train on": lambda path: listing._listed(path.rename(path.with_suffix(".txt"))),
    "labelled images": label_list.read_list,
    "an image to be shown": lambda path: read_rgb(path, path, "mend it"),
    "own COCO": own_coco._read,
}


@pytest.mark.parametrize("reader", READERS)
def test_want_of_descriptors_is_not_taken_for_damage_of_a_file(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "Annotations" / "0.xml" if reader == "boxes" else tmp_path / "0.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(NOISE).save(path, format="png")
    with no_descriptor_left(), pytest.raises(OSError) as raised:
        READERS[reader](tmp_path / "0.xml" if reader == "boxes" else path)
    assert raised.value.errno == errno.EMFILE


def test_a_pretraining_that_skips_unreadable_images_does_not_skip_those_without_a_descriptor(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(NOISE).save(tmp_path / "train" / name / "0.png")
    changes = ["data.unreadable=skip", "data.batch_size=2"]
    dataset = TwistDataset(tmp_path, overrides.apply(twist_configs.pretrain.get("rn50"), changes))
    with no_descriptor_left(), pytest.raises(UserError, match=r"0\.png: Too many open files: raise the limit"):
        dataset._image(0)


def test_a_file_that_safetensors_cannot_open_is_one_sentence_with_its_path(tmp_path: Path) -> None:
    save_file({"image": NOISE}, tmp_path / "file.safetensors")
    program = tmp_path / "program.py"
    program.write_text(
        "import dataclasses, resource\n"
        "from pathlib import Path\n"
        "from safetensors.numpy import load_file\n"
        "from twist_common import cli\n"
        "@dataclasses.dataclass\nclass Args:\n    'Reads.'\n    path: Path\n"
        "def main(args: Args) -> None:\n"
        "    load_file(args.path)\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "    load_file(args.path)\n"
        "cli.run(Args, main, prog='program')\n"
    )
    told = run_program(program, "--path", tmp_path / "file.safetensors")
    assert told.returncode == 1 and told.stderr.count("\n") == 1, told.stderr
    assert str(tmp_path / "file.safetensors") in told.stderr and "(ulimit -n)" in told.stderr
