"""A container's small shared memory is found before the first image is read."""

from collections import namedtuple
from typing import Any, NoReturn

import pytest
from torch.utils.data import DataLoader

from tests.detection_configs import trial
from transfer import benchmarks
from transfer.tasks.detection import data as detection
from transfer.tasks.detection.config import resolve_config
from transfer.tasks.segmentation import checks as segmentation
from transfer.tasks.segmentation.config import load_protocol
from twist_common import shared_memory
from twist_common.errors import UserError
from twist_common.shared_memory import check_shared_memory, without_lost_batches

Usage = namedtuple("Usage", "total used free")
MIB = 2**20


@pytest.fixture
def dockers_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda path: Usage(64 * MIB, 0, 64 * MIB))


@pytest.mark.usefixtures("dockers_default")
def test_a_small_shared_memory_is_one_sentence_that_says_what_to_do() -> None:
    check_shared_memory(16, 2 * MIB)
    check_shared_memory(0, 200 * MIB)  # read where it trains
    with pytest.raises(UserError, match=r"has 64 MiB free, but 16 reading processes keep 1184 MiB .* --shm-size"):
        check_shared_memory(16, 37 * MIB)


@pytest.mark.usefixtures("dockers_default")
def test_detection_and_segmentation_are_refused_where_their_batches_do_not_fit() -> None:
    coco = resolve_config(trial("coco"))  # 16 images of 800 x 1333 pixels
    with pytest.raises(UserError, match="but 4 reading processes keep 391 MiB"):
        detection.check_room(coco, num_processes=1, parts=1)
    with pytest.raises(UserError, match="but 16 reading processes keep 391 MiB"):
        detection.check_room(coco, num_processes=4, parts=1)
    detection.check_room(coco, num_processes=1, parts=8)
    voc = load_protocol(benchmarks.get("seg-voc").config_path)  # 16 crops of 512 x 512
    with pytest.raises(UserError, match="but 4 reading processes keep 352 MiB"):
        segmentation.check_room(voc, num_processes=1, parts=1)
    segmentation.check_room(voc, num_processes=1, parts=8)
    segmentation.check_room(load_protocol(benchmarks.get("demo-seg").config_path), num_processes=1, parts=1)


class NotHandedOver:
    """An item that cannot be pickled, as a tensor where /dev/shm is full: that happens in the queue's thread too."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


class Items(list[Any]):
    """The second one is made where it is read: it does not go through a pickle itself."""

    def __getitem__(self, index: Any) -> object:
        return NotHandedOver() if index == 1 else super().__getitem__(index)


def test_a_batch_that_cannot_be_handed_over_is_one_sentence_and_not_waited_for() -> None:
    loader = DataLoader(Items(range(4)), num_workers=1, batch_size=1, collate_fn=list, multiprocessing_context="fork")
    batches = iter(without_lost_batches(loader))
    assert next(batches) == [0]
    with pytest.raises(UserError, match=r"cannot hand over .*No space left on device.*/dev/shm is full.*--shm-size"):
        next(batches)
    assert next(batches) == [2]
