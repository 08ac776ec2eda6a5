"""The momentum encoder: its average, its own statistics, and that it learns from nothing else."""

import copy
import socket
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

from pretrain.distributed import Process
from pretrain.model.head import ProjectionHead
from pretrain.model.momentum_encoder import MomentumEncoder
from pretrain.model.norms import BunchNorm, assign_bunches, sync_batch_norms
from pretrain.model.twist_model import TwistModel
from pretrain.model.vit import ViTBackbone

NUM_PROCESSES, BUNCH, IMAGES = 4, 4, 8  # a bunch is on two processes


@pytest.fixture
def student() -> TwistModel:
    torch.manual_seed(0)
    backbone = ViTBackbone(num_features=24, num_heads=2, depth=2, drop_path=0.5)
    return TwistModel(backbone, ProjectionHead(24, 16, 5, activation="gelu")).double().train()


def views(num: int = 2, *, images: int = 8) -> list[Tensor]:
    return [torch.randn(images, 3, 32, 32).double() for _ in range(num)]


def moved(student: TwistModel) -> dict[str, Tensor]:
    """Moves every parameter somewhere else; returns where they were."""
    before = {name: parameter.detach().clone() for name, parameter in student.named_parameters()}
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter))
    return before


def test_every_parameter_keeps_its_share_and_takes_the_rest_from_the_student(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    before = moved(student)
    teacher.update(student, 0.9)
    after, towards = dict(teacher.named_parameters()), dict(student.named_parameters())
    assert after.keys() == before.keys()
    for name, old in before.items():
        expected = 0.9 * old + 0.1 * towards[name]
        torch.testing.assert_close(after[name], expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_of_nothing_and_all_are_exact(student: TwistModel, share: float) -> None:
    teacher = MomentumEncoder(student)
    before = moved(student)
    teacher.update(student, share)
    expected = before if share else dict(student.named_parameters())
    for name, parameter in teacher.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_update_leaves_the_student_and_all_buffers_alone(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    student(views())
    moved(student)
    state = {key: value.clone() for key, value in student.state_dict().items()}
    buffers = {name: buffer.clone() for name, buffer in teacher.named_buffers()}
    teacher.update(student, 0.5)
    assert all(torch.equal(value, state[key]) for key, value in student.state_dict().items())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in teacher.named_buffers())
    assert not torch.equal(teacher.head.nbs.running_mean, student.head.nbs.running_mean)


def test_norms_use_and_track_the_statistics_of_the_teachers_own_views(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    state = {key: value.clone() for key, value in student.state_dict().items()}
    logits = teacher(views())
    torch.testing.assert_close(logits.mean(dim=(0, 1)), torch.zeros(5).double(), rtol=0, atol=1e-12)
    assert teacher.head.nbs.num_batches_tracked == 1 and teacher.head.nbs.running_mean.any()
    assert all(torch.equal(value, state[key]) for key, value in student.state_dict().items())


def test_bunches_are_the_students(student: TwistModel) -> None:
    assert isinstance(student.head.nbs, BunchNorm)
    assign_bunches(student.head.nbs, 4, 8, Process(torch.device("cpu")))
    for bunch in MomentumEncoder(student)(views()).split(4, dim=1):
        torch.testing.assert_close(bunch.mean(dim=(0, 1)), torch.zeros(5).double(), rtol=0, atol=1e-12)


def test_nothing_of_it_is_trained(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    assert not teacher(views()).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_stochastic_depth_is_the_students(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    inputs = views()
    torch.manual_seed(1)
    expected = copy.deepcopy(student)(inputs)
    torch.manual_seed(1)
    torch.testing.assert_close(teacher(inputs), expected.detach(), rtol=0, atol=0)
    assert not torch.equal(teacher(inputs), expected)  # another draw


def test_state_dict_brings_it_back_under_the_students_keys(student: TwistModel) -> None:
    teacher = MomentumEncoder(student)
    moved(student)
    teacher.update(student, 0.7)
    teacher(views())
    saved = teacher.state_dict()
    assert list(saved) == list(student.state_dict())
    other = MomentumEncoder(student)
    other.load_state_dict(saved)
    assert all(torch.equal(value, saved[key]) for key, value in other.state_dict().items())


def taught(process: Process) -> Tensor:
    """The logits (2, images of this process, C) of a teacher that has followed its student for a step."""
    torch.manual_seed(0)
    student = TwistModel(ViTBackbone(num_features=24, num_heads=2, depth=1), ProjectionHead(24, 16, 5))
    sync_batch_norms(student, process)
    student.double()
    assert isinstance(student.head.nbs, BunchNorm)
    assign_bunches(student.head.nbs, BUNCH, IMAGES, process)
    teacher = MomentumEncoder(student)
    moved(student)
    teacher.update(student, 0.5)
    logits: Tensor = teacher([view.chunk(process.world_size)[process.rank] for view in views(images=IMAGES)])
    return logits


def work(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    limit = timedelta(seconds=120)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=NUM_PROCESSES, timeout=limit
    )
    torch.save(taught(Process(torch.device("cpu"), rank, NUM_PROCESSES)), f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_bunches_over_processes_give_the_logits_of_one_process(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.set_forkserver_preload(
        ["pretrain.distributed", "pretrain.model.momentum_encoder", "pretrain.model.vit"]
    )
    arguments = (port, str(tmp_path))
    torch.multiprocessing.start_processes(work, args=arguments, nprocs=NUM_PROCESSES, start_method="forkserver")
    logits = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]
    expected = taught(Process(torch.device("cpu")))
    torch.testing.assert_close(torch.cat(logits, dim=1), expected, rtol=1e-10, atol=1e-10)
