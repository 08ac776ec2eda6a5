"""What reading takes of memory: no more than the weights, whatever a file says of itself."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.backbones import flat_state
from tests.conftest import ROOT
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.architecture import expected_shapes
from transfer.weights.backbone.mapped import Copies
from transfer.weights.backbone.read import read_checkpoint
from twist_common.errors import UserError

# One line for each file: by how many bytes it raised the process's peak, and how it ended.
MEASURE = """
import resource, sys
import safetensors.torch, torch
from transfer.weights.backbone import load_backbone
from transfer.weights.backbone.architecture import expected_shapes

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

expected_shapes("resnet101")
for path in sys.argv[1:]:
    before = peak()
    try:
        said = load_backbone(path).arch
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(peak() - before, said)
"""


def measured(*paths: Path) -> list[tuple[int, str]]:
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in done.stdout.splitlines()]


def save_zip(content: object, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_file])
def test_a_file_that_is_all_backbone_takes_little_more_than_its_size(
    save: Callable[[dict[str, Tensor], Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "resnet101.pth"
    save({key: torch.ones(shape) for key, shape in expected_shapes("resnet101").items()}, path)
    ((taken, said),) = measured(path)
    assert said == "resnet101"
    assert path.stat().st_size > 170e6 and taken <= 1.3 * path.stat().st_size


def text(content: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(content)) + content


RARE = "\U0001f600".encode()  # makes four bytes of every letter of its text
MANY = 2_500_000
AGAIN = b"h\x01h\x02R" * 500  # calls the first with the second, for as many copies
NUMBERS = b"".join(b"J" + struct.pack("<i", number) + b"N" for number in range(100_000))
NAMES = b"".join(text(b"k%d" % number) + b"N" for number in range(50_000))


def module(parameters: bytes, modules: bytes) -> bytes:
    parts = {b"_parameters": parameters, b"_buffers": b"}", b"_modules": modules}
    return b"cfoo\nBar\n)\x81}(" + b"".join(text(name) + value for name, value in parts.items()) + b"ub"


def many_of(number: int, value: bytes) -> bytes:
    return b"}(" + b"".join(text(b"m%d" % each) + value for each in range(number)) + b"u"


PICKLES = {
    "sets": b"\x80\x04](" + b"\x8f" * MANY + b"e.",
    "tuples": b"\x80\x02](" + b")\x85" * MANY + b"e.",
    "calls in calls": b"\x80\x02cfoo\nBar\nq\x01" + b"h\x01" * MANY + b")R" * MANY + b".",
    "calls": b"\x80\x02](cfoo\nBar\nq\x010" + b"h\x01)R" * MANY + b"e.",
    "memo": b"\x80\x04](" + b"N\x94" * MANY + b"e.",
    "names": b"\x80\x02](" + b"".join(b"ca\nb%d\n" % number for number in range(800_000)) + b"e.",
    "dict copied": b"\x80\x02](ccollections\nOrderedDict\nq\x010}(" + NUMBERS + b"u\x85q\x020" + AGAIN + b"e.",
    "list copied": b"\x80\x02](cbuiltins\nlist\nq\x010](" + b"N" * 500_000 + b"e\x85q\x020" + AGAIN + b"e.",
    "texts": b"\x80\x02](" + text(b"a" * 500_000 + RARE) * 300 + b"e.",
    "one text": b"\x80\x02" + text(b"a" * 250_000_000 + RARE) + b".",
    "one line": b"\x80\x02V" + b"a" * 100_000_000 + b"\\U0001f600\n.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"B" + struct.pack("<I", 1 << 31) + b"a.",
    "bytes that are not there": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",
    "namespaces": b"\x80\x02](cargparse\nNamespace\nq\x010}(" + NAMES + b"uq\x020" + b"h\x01)\x81h\x02b" * 3000 + b"e.",
    "modules": b"\x80\x02" + module(b"}(" + NAMES.replace(b"N", b"K\x01") + b"u", b"}") + b"q\x030"
    + module(b"}", many_of(3000, b"h\x03")) + b".",
    "long keys": b"\x80\x02" + module(b"}(" + text(b"x" * 900_000) + b"K\x01u", b"}") + b"q\x030"
    + module(b"}", many_of(3000, b"h\x03")) + b".",
}  # fmt: skip


def directory(num_files: int) -> bytes:
    """A zip archive that lists so many files and holds none."""
    start = b"PK\x03\x04" + bytes(26)
    entries = b"".join(
        b"PK\x01\x02" + struct.pack("<6H3L5H2L", *[0] * 9, 9, *[0] * 6) + b"m/%07d" % number
        for number in range(num_files)
    )
    at = len(start) + len(entries)
    end = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, num_files, num_files, len(entries), len(start))
    end += b"PK\x06\x07" + struct.pack("<LQL", 0, at, 1)
    return start + entries + end + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, *[65535] * 2, *[2**32 - 1] * 2, 0)


def header(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("hostile")
    for name, content in PICKLES.items():
        with zipfile.ZipFile(root / f"{name}.pth", "w") as archive:
            archive.writestr("model/data.pkl", content)
    magic = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    (root / "legacy.pth").write_bytes(b"".join(magic) + PICKLES["sets"])
    (root / "directory.pth").write_bytes(directory(800_000))
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    tensors = json.dumps({f"k{number}": entry for number in range(200_000)}).encode()
    (root / "tensors.safetensors").write_bytes(header(tensors))
    (root / "model.safetensors.index.json").write_text("[" + "{}," * 5_000_000 + "{}]")
    return sorted(root.iterdir())


def test_a_hostile_file_takes_no_more_than_600_mb_beyond_its_size(hostile: list[Path]) -> None:
    for path, (taken, said) in zip(hostile, measured(*hostile), strict=True):
        assert said.startswith("UserError") and len(said) < 1000, (path.name, said)
        assert taken <= 0.6e9 + path.stat().st_size, (path.name, taken)


def test_tensors_that_overlap_are_refused_before_they_are_copied() -> None:
    windows = torch.zeros(30_000).as_strided((11_000, 11_000), (1, 1))  # 484 MB out of 120 kB
    with pytest.raises(UserError, match=r"^file has tensors that overlap, which would fill far more memory"):
        Copies(windows.untyped_storage().nbytes(), "file").of(windows)


def test_expanded_tensors_take_the_memory_of_their_one_number(tmp_path: Path) -> None:
    torch.save(flat_state("resnet101"), tmp_path / "model.pth")
    state = load_backbone(tmp_path / "model.pth").state_dict
    assert sum(tensor.untyped_storage().nbytes() for tensor in state.values()) < 10_000
    assert state["conv1.weight"].shape == (64, 3, 7, 7)


def test_weights_outlive_the_file_that_they_came_from(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({key: tensor.contiguous() for key, tensor in flat_state().items()}, path)
    state = load_backbone(path).state_dict
    path.write_bytes(b"")
    assert all(torch.equal(tensor, flat_state()[key]) for key, tensor in state.items())


def test_a_long_array_in_the_metadata_does_not_block_the_weights(tmp_path: Path) -> None:
    content = {"state_dict": {"w": torch.ones(3)}, "text": "a" * (2 << 20), "bytes": bytes(2 << 20)}
    for protocol in (2, 4):
        torch.save(content, tmp_path / "model.pth", pickle_protocol=protocol)
        assert torch.equal(read_checkpoint(tmp_path / "model.pth")["state_dict"]["w"], torch.ones(3))


@pytest.fixture(scope="module")
def a_mesh(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Two ranks of which this process is the first; nothing is communicated."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import DeviceMesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield DeviceMesh("cpu", [0, 1])
    dist.destroy_process_group()


def test_one_rank_s_part_of_a_sharded_save_is_refused_by_name(a_mesh: object, tmp_path: Path) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard

    for placement, part in ((Shard(0), torch.ones(32, 3, 7, 7)), (Replicate(), torch.ones(64, 3, 7, 7))):
        whole = DTensor.from_local(part, a_mesh, [placement], run_check=False)  # type: ignore[arg-type]
        torch.save(flat_state() | {"conv1.weight": whole}, tmp_path / "model.pth")
        if isinstance(placement, Shard):
            with pytest.raises(UserError, match=r"one rank's part of a sharded save \(FSDP, DTensor\): gather it"):
                load_backbone(tmp_path / "model.pth")
        else:
            assert torch.equal(load_backbone(tmp_path / "model.pth").state_dict["conv1.weight"], part)
