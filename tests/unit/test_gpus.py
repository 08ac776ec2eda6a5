"""How many GPUs there are: counted in one place, from a stand-in for nvidia-smi and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import twist_configs.pretrain
from pretrain import launch, train
from pretrain.distributed import process_group
from pretrain.run.precision import precision_of
from transfer import benchmarks
from transfer.planner.devices import machine
from transfer.trials.devices import local_devices
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.provenance import first_line
from twist_common import gpus, overrides
from twist_common.cuda import check_cuda
from twist_common.errors import UserError

FOUR = "".join(f"GPU {index}: NVIDIA H100 80GB HBM3 (UUID: GPU-{index}f0)\n" for index in range(4))
PARTITIONED = (
    "GPU 0: NVIDIA H100 (UUID: GPU-a)\n"
    "  MIG 1g.10gb     Device  0: (UUID: MIG-b)\n  MIG 1g.10gb     Device  1: (UUID: MIG-c)\n"
    "GPU 1: NVIDIA H100 (UUID: GPU-d)\n"
)


class FakeMachine:
    """Puts a stand-in for ``nvidia-smi`` first on PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        monkeypatch.setattr(gpus, "PROC", folder / "proc")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def has(self, listing: str, visible: str | None = None, code: int = 0) -> None:
        (self.folder / "listing").write_text(listing)
        script = self.folder / "nvidia-smi"
        script.write_text(
            f'#!/bin/sh\ncase "$1" in -L) cat {self.folder}/listing ;; *) echo 470.86 ;; esac\nexit {code}\n'
        )
        script.chmod(0o755)
        self.monkeypatch.setenv("PATH", f"{self.folder}{os.pathsep}{os.environ['PATH']}")
        if visible is not None:
            self.monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        gpus.cards.cache_clear()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMachine]:
    yield FakeMachine(tmp_path, monkeypatch)
    gpus.cards.cache_clear()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ("0", "1", "2", "3")),
        ("2,0", ("2", "0")),
        ("3", ("3",)),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", ("1",)),  # CUDA itself stops at the first that is not there
        ("0,9,1", ("0",)),
        ("1,1", ()),
        ("GPU-2f0, GPU-0f0", ("GPU-2f0", "GPU-0f0")),
        ("GPU-2f", ("GPU-2f",)),
        ("GPU-2f0,GPU-9f0,GPU-1f0", ("GPU-2f0",)),
        ("GPU-", ()),  # not unique
        ("NoDevFiles", ()),
    ],
)
def test_an_outer_choice_of_gpus_is_kept_to(visible: str | None, expected: tuple[str, ...], fake: FakeMachine) -> None:
    fake.has(FOUR, visible)
    assert gpus.visible_gpus() == expected
    assert gpus.resolve_device("auto") == ("cuda" if expected else "cpu")
    if expected:
        assert gpus.num_processes("cuda") == len(expected) == machine("cuda", jobs=0, gpu=None, gpus=None).num_devices
        assert local_devices("cuda") == expected
    assert gpus.num_processes("cpu") == 1


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ("MIG-b", "MIG-c", "1")),
        ("0", ("MIG-b", "MIG-c")),
        ("1", ("1",)),
        ("MIG-c", ("MIG-c",)),
        ("MIG-c,MIG-b", ("MIG-c", "MIG-b")),
        ("MIG-z", ()),
    ],
)
def test_mig_devices_are_given_out_one_by_one_and_none_works_with_others(
    visible: str | None, expected: tuple[str, ...], fake: FakeMachine
) -> None:
    fake.has(PARTITIONED, visible)
    assert gpus.visible_gpus() == expected
    if expected:
        assert gpus.num_processes("cuda") == 1
        assert machine("cuda", jobs=0, gpu=None, gpus=None).num_joint == 1


def test_a_mig_device_has_its_cards_title(fake: FakeMachine) -> None:
    fake.has(PARTITIONED)
    assert gpus.titles(("MIG-c", "1")) == ("a MIG device of NVIDIA H100", "NVIDIA H100")


def test_without_an_answering_driver_there_is_no_gpu(fake: FakeMachine) -> None:
    fake.has("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "0", code=9)
    assert gpus.visible_gpus() == ()


@pytest.mark.parametrize(
    ("visible", "gib"), [("0,1", 40), ("1", 80), ("GPU-1", 80), ("0,2", None), ("MIG-b", None), (None, None)]
)
def test_memory_is_that_of_the_smallest_visible_card(visible: str | None, gib: int | None, fake: FakeMachine) -> None:
    fake.has(FOUR)
    rows = "0, GPU-0f0, 40960\n1, GPU-1f0, 81920\n2, GPU-2f0, [N/A]\n"
    script = fake.folder / "nvidia-smi"
    script.write_text(f'#!/bin/sh\ncase "$1" in -L) cat {fake.folder}/listing ;; *) printf "{rows}" ;; esac\n')
    names = gpus.visible_gpus() if visible is None else tuple(visible.split(","))
    assert gpus.memory_bytes(names) == (gib and gib * 2**30)


def test_without_nvidia_smi_the_drivers_files_are_counted(fake: FakeMachine) -> None:
    for place, uuid in {"0000:1b:00.0": "GPU-b", "0000:0a:00.0": "GPU-a"}.items():
        folder = fake.folder / "proc" / "gpus" / place
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA L4\nIRQ:   \t\t 42\nGPU UUID: \t {uuid}\n")
    (fake.folder / "proc" / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n"
    )
    fake.monkeypatch.setenv("PATH", "/nowhere")
    gpus.cards.cache_clear()
    assert gpus.cards() == (gpus.Card("NVIDIA L4", "GPU-a"), gpus.Card("NVIDIA L4", "GPU-b"))
    assert gpus.driver_version() == "535.129.03"
    fake.monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.num_processes(gpus.resolve_device("auto")) == 1


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="tpu"):
        gpus.resolve_device("tpu")


def test_a_wish_for_gpus_that_are_hidden_is_refused(fake: FakeMachine) -> None:
    fake.has(FOUR, "")
    with pytest.raises(UserError, match="no GPU is visible"):
        local_devices("cuda")
    with pytest.raises(UserError, match="no GPU is visible"):
        check_cuda()


@pytest.mark.parametrize(
    ("visible", "device", "environment", "expected"),
    [
        (None, "auto", {}, 4),
        ("2,0", "cuda", {}, 2),
        ("0,9", "auto", {}, None),
        ("", "auto", {}, None),
        (None, "cpu", {}, None),
        ("GPU-0f0,GPU-1f0,GPU-2f0", "auto", {}, 3),
        ("", "auto", {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "first"}, 1),
        (None, "auto", {"SLURM_NNODES": "2", "SLURM_NODEID": "0", "MASTER_ADDR": "first"}, 4),
    ],
)
def test_pretraining_starts_one_process_for_each_visible_gpu(
    visible: str | None,
    device: str,
    environment: dict[str, str],
    expected: int | None,
    fake: FakeMachine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []
    fake.has(FOUR, visible)
    monkeypatch.setattr(launch, "torchrun", lambda options, arguments: started.append(options) or 0)
    monkeypatch.setattr(train, "main", lambda args: 7)
    monkeypatch.chdir(fake.folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    args = train.Args(recipe="demo", device=device)  # type: ignore[arg-type]
    if expected is None:
        assert launch.main(args) == 7
        return
    assert launch.main(args) == 0
    (line,) = started
    assert f"--nproc-per-node={expected}" in line
    assert (line[:2] == ["--standalone", "--local-addr=localhost"]) == (not environment)
    assert ("--master-addr=first" in line) == bool(environment)


def test_several_machines_without_their_number_are_one_sentence(fake: FakeMachine) -> None:
    fake.has(FOUR)
    fake.monkeypatch.setenv("NNODES", "2")
    with pytest.raises(UserError, match="needs NODE_RANK"):
        launch.main(train.Args(recipe="demo"))


def test_the_first_line_names_gpus_driver_and_torch(fake: FakeMachine) -> None:
    fake.has(FOUR)
    assert re.fullmatch(r"4 x NVIDIA H100 80GB HBM3, driver 470\.86, torch 2\.\S+", gpus.described("cuda"))
    assert re.fullmatch(r"cpu \(\w+, 4 NVIDIA GPUs unused\), torch 2\.\S+", gpus.described("cpu"))
    fake.has(PARTITIONED)
    assert gpus.described("cuda").startswith("1 x a MIG device of NVIDIA H100, ")


def test_the_first_line_of_trials_has_their_precisions(tmp_path: Path) -> None:
    def plan(benchmark: str, *overrides: str, device: str = "cuda") -> TrialPlan:
        (found,) = plan_trials(
            runs=tmp_path,
            suite="test",
            benchmarks=[benchmarks.get(benchmark)],
            weights=[weights_ref("random:resnet18")],
            seeds=[0],
            data=tmp_path,
            device=device,
            overrides=overrides,
        )
        return found

    tf32 = "fp32, convolutions in TF32 where the GPU has it"
    assert first_line([plan("demo-voc"), plan("demo-seg")]).endswith(f"; precision: {tf32}")
    assert first_line([plan("demo-linear"), plan("demo-1pct", "precision=bf16")]).endswith("fp32, precision=bf16")
    assert first_line([plan("demo-voc", "SOLVER.AMP.ENABLED=True")]).endswith("SOLVER.AMP.ENABLED=True")
    assert re.fullmatch(r"device: cpu \(.*\), torch \S+; precision: fp32", first_line([plan("demo-voc", device="cpu")]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine whose torch sees no GPU")
def test_a_gpu_that_torch_cannot_use_is_refused_with_both_versions(fake: FakeMachine) -> None:
    fake.has(FOUR)
    with pytest.raises(UserError, match=r"has NVIDIA H100 80GB HBM3 \(driver 470\.86\), but torch 2\S+ cannot use it"):
        check_cuda()
    with pytest.raises(UserError, match="give --device cpu"), process_group("auto"):
        pass
    with process_group("cpu") as process:
        assert process.device.type == "cpu"


def test_a_driver_that_is_too_old_is_one_sentence_with_both_versions(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_old() -> None:  # c10/cuda/CUDAFunctions.cpp; as a warning it is hidden by PYTHONWARNINGS=ignore
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
            "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
        )

    fake.has(FOUR)
    monkeypatch.setattr(torch.cuda, "init", too_old)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError) as refused:
        check_cuda()
    assert str(refused.value) == (
        f"the NVIDIA driver 470.86 is too old, it supports CUDA 11.4 and torch {torch.__version__} needs 13.0: install "
        "a newer driver, or give --device cpu"
    )


def test_gpus_that_torch_does_not_see_are_counted(fake: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.has(FOUR)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UserError, match="torch sees 3 of the 4 GPUs"):
        check_cuda()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    check_cuda()


def test_a_gpu_without_bf16_trains_in_fp16_unless_bf16_is_asked_for() -> None:
    recipe = twist_configs.pretrain.get("rn50")
    assert precision_of(recipe, "cuda") == "bf16"
    assert precision_of(recipe, "cuda", has_bf16=False) == "fp16"
    with pytest.raises(UserError, match="set precision to fp16 or fp32"):
        precision_of(overrides.apply(recipe, ["precision=bf16"]), "cuda", has_bf16=False)
