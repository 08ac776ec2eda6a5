"""Writing beside the work: in order, whole at the end, errors where the work is."""

import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from twist_common.background import BackgroundWriter, host_copy

SECONDS = 30.0


def test_the_work_goes_on_while_a_file_is_written_and_ends_with_it(tmp_path: Path) -> None:
    path, goes_on = tmp_path / "file", threading.Event()

    def write() -> None:
        assert goes_on.wait(SECONDS), "the work waited for the file"
        path.touch()

    with pytest.raises(KeyError), BackgroundWriter() as writer:
        writer.start(write)
        writer.check()
        assert not path.exists()
        goes_on.set()
        raise KeyError
    assert path.exists()


def test_files_are_written_one_after_the_other() -> None:
    written: list[int] = []
    goes_on = threading.Event()
    with BackgroundWriter() as writer:
        writer.start(lambda: written.append(int(goes_on.wait(SECONDS))))
        threading.Timer(0.05, goes_on.set).start()
        writer.start(lambda: written.append(2))
        assert written[0] == 1  # the second began after the first had ended
        writer.wait()
        assert written == [1, 2]


def test_what_the_system_refuses_is_raised_once_in_the_thread_that_works() -> None:
    def fail() -> None:
        raise OSError("No space left on device")

    with BackgroundWriter() as writer:
        for meet in (writer.wait, lambda: writer.start(fail)):
            writer.start(fail)
            with pytest.raises(OSError, match="No space left"):
                meet()
        writer.wait()
    with pytest.raises(OSError, match="No space left"), BackgroundWriter() as writer:
        writer.start(fail)


def test_a_copy_keeps_its_values_layout_and_versions_whatever_becomes_of_the_state() -> None:
    weight = torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    state = OrderedDict({"weight": weight, "groups": [{"lr": 0.1, "step": torch.ones(())}]})
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    copied = host_copy(state)
    with torch.no_grad():
        before = weight.clone()
        weight.zero_()
    state["groups"][0]["step"].zero_()  # type: ignore[index]
    assert torch.equal(copied["weight"], before) and copied["weight"].stride() == weight.stride()
    assert not copied["weight"].requires_grad and copied._metadata == {"": {"version": 1}}
    assert copied["groups"] == [{"lr": 0.1, "step": torch.ones(())}]
