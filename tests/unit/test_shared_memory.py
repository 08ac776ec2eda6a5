"""A container's small shared memory is found before the first image is read."""

from collections import namedtuple

import pytest

from twist_common import shared_memory
from twist_common.errors import UserError
from twist_common.shared_memory import check_shared_memory

Usage = namedtuple("Usage", "total used free")
MIB = 2**20


def test_a_small_shared_memory_is_one_sentence_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda path: Usage(64 * MIB, 0, 64 * MIB))
    check_shared_memory(16, 2 * MIB)
    check_shared_memory(0, 200 * MIB)  # read where it trains
    with pytest.raises(UserError, match=r"has 64 MiB free, but 16 reading processes keep 1184 MiB .* --shm-size"):
        check_shared_memory(16, 37 * MIB)
