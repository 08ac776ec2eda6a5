"""Checkpoints come from anywhere: no file runs code or ends in a traceback."""

from __future__ import annotations

import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from tests.backbones import flat_state
from transfer.weights.backbone import load_backbone
from twist_common.errors import UserError


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.mark),))


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_backbone(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    return message


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere.pth")
    assert "has no file: each trial draws these weights anew" in refused(Path("random:resnet18"))
    assert "is a folder without model.safetensors" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00", b"hello\n" * 100, random.Random(0).randbytes(5000)])
def test_bytes_that_are_no_checkpoint_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    assert ("is empty" if not content else "not a checkpoint") in refused(path)


def test_archive_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    assert "not a checkpoint" in refused(path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), 7], ids=["list", "tensor", "number"])
def test_saved_object_that_is_no_dict_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "object.pth"
    torch.save(content, path)
    assert "not a checkpoint's dict" in refused(path)


@pytest.mark.parametrize(("protocol", "says"), [(2, "posix.mkdir"), (4, "not a checkpoint")])
def test_hostile_pickle_is_refused_and_not_run(protocol: int, says: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "hostile.pth", tmp_path / "was_run"
    path.write_bytes(pickle.dumps({"backbone": Hostile(mark)}, protocol=protocol))
    assert says in refused(path)
    assert not mark.exists()


def test_hostile_object_beside_a_whole_backbone_is_refused_by_name_and_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "hostile.pth", tmp_path / "was_run"
    torch.save({"backbone": flat_state(), "model": {}, "args": Hostile(mark)}, path)
    assert "mkdir" in refused(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists(), "the payload of this test does nothing, so it protects nothing"


def test_truncated_checkpoint_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    torch.save(flat_state(), path)
    whole = path.read_bytes()
    for length in [1, 30, len(whole) // 3, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes_give_a_backbone_or_one_sentence_never_a_traceback(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "flipped.pth"
    torch.save(flat_state(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    draw = random.Random(0)
    num_refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(20):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            load_backbone(path)
        except UserError as error:
            assert "\n" not in str(error)
            num_refused += 1
    assert num_refused > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locked.pth"
    torch.save(flat_state(), path)
    path.chmod(0)
    assert "permissions" in refused(path)
