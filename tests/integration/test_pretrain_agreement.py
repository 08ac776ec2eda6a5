"""Two processes of a run that were given different things refuse in one sentence; one that is lost is named."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from PIL import Image

import twist_configs.pretrain
from pretrain import distributed
from pretrain.recipe import Recipe, as_dict, recipe_sha256
from pretrain.run import agreement, checkpoint, preemption, trainer
from twist_common import overrides

SMALL = (
    "epochs=2", "data.batch_size=4", "model.hidden=8", "model.num_classes=4", "crops.num_local=0",
    "crops.global_size=28", "run.num_workers=0",
)  # fmt: skip
LIMIT = 3.0  # of a collective, for a process that hangs
Result = dict[str, Any]


def recipe(*changes: str) -> Recipe:
    return overrides.apply(twist_configs.pretrain.get("demo"), [*SMALL, *changes])


def make_images(root: Path, seed: int) -> None:
    for index in range(8):
        folder = root / "train" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(seed + index))
        Image.fromarray(noise.byte().numpy()).save(folder / f"{index:02}.png")


def make_checkpoint(out: Path, step: int) -> None:
    content = {"recipe": as_dict(recipe()), "recipe_sha256": recipe_sha256(recipe()), "step": step}
    checkpoint.save(out / "checkpoint.pth", content)


def start(rank: int, root: Path, **changes: Any) -> Callable[[distributed.Process], None]:
    """A start of the run, in which the second process has something else."""
    arguments: dict[str, Any] = {"recipe": recipe(), "data": root / "data", "out": root / "out"}
    if rank == 1:
        arguments |= changes
    return lambda process: trainer.train(**arguments, process=process)


def cases(rank: int, root: Path) -> dict[str, Callable[[distributed.Process], None]]:
    def patched(name: str, value: Any) -> Callable[[distributed.Process], None]:
        def run(process: distributed.Process) -> None:
            with mock.patch(name, value) if rank == 1 else mock.MagicMock():
                start(rank, root)(process)

        return run

    def at_other_steps(process: distributed.Process) -> None:
        make_checkpoint(root / f"step-{rank}", 5 + rank)
        trainer.train(recipe(), data=root / "data", out=root / f"step-{rank}", process=process)

    return {
        "recipe": start(rank, root, recipe=recipe("optim.lr=0.5")),
        "run": start(rank, root, recipe=recipe("run.checkpoint_epochs=2")),
        "images": start(rank, root, data=root / "other"),
        "fewer images": start(rank, root, data=root / "fewer"),
        "no images": start(rank, root, data=root / "nowhere"),
        "size": start(rank, root, data=root / "sizes"),
        "out": start(rank, root, out=root / "elsewhere"),
        "step": at_other_steps,
        "torch": patched("torch.__version__", "9.9.9"),
        "code": patched("pretrain.run.agreement.code_sha256", lambda: "f" * 64),
    }


def stop_with_a_slow_checkpoint(rank: int, root: Path, process: distributed.Process) -> float:
    """Asked to stop, in the first process alone; returns when this process was through, by one clock for all."""

    def save(*arguments: Any) -> None:
        time.sleep(2)
        (root / "written").write_text(str(time.monotonic()))

    with mock.patch.object(checkpoint, "save", save), pytest.raises(preemption.Preempted):
        if rank == 0:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
            signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
        try:
            trainer.train(recipe("epochs=1000"), data=root / "data", out=root / "stopped", process=process)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return time.monotonic()


def work(rank: int, ports: list[int], root: Path, messages: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    result: Result = {}
    os.environ["MASTER_PORT"] = str(ports[0])
    with distributed.process_group("cpu") as process:
        for name, run in cases(rank, root).items():
            before = time.monotonic()
            try:
                run(process)
            except (agreement.UserError, SystemExit) as error:
                result[name] = (type(error).__name__, str(error), time.monotonic() - before)
        result["stop"] = stop_with_a_slow_checkpoint(rank, root, process)
        result["written"] = float((root / "written").read_text())
    for place, name in enumerate(("hangs", "dies"), start=1):
        os.environ["MASTER_PORT"] = str(ports[place])
        with mock.patch.object(distributed, "TIME_LIMIT", timedelta(seconds=LIMIT)):
            try:
                with distributed.process_group("cpu") as process:
                    distributed.any_process(False, process)
                    if rank == 1:
                        messages.put((rank, result))
                        time.sleep(1)  # the message is on its way
                        if name == "dies":
                            os.kill(os.getpid(), signal.SIGKILL)
                        time.sleep(2 * LIMIT + distributed.ANSWER_SECONDS)
                    distributed.any_process(False, process)
            except distributed.LostProcessError as error:
                result[name] = str(error)
    messages.put((rank, result))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    root = tmp_path_factory.mktemp("agreement")
    make_images(root / "data", 0)
    make_images(root / "other", 0)
    (root / "other" / "train" / "0" / "00.png").rename(root / "other" / "train" / "0" / "000.png")
    make_images(root / "fewer", 0)
    (root / "fewer" / "train" / "1" / "07.png").unlink()
    shutil.copytree(root / "data", root / "sizes")
    Image.new("RGB", (28, 28)).save(root / "sizes" / "train" / "0" / "00.png")
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pretrain.run.trainer", "pytest"])
    messages = context.Queue()
    processes = [context.Process(target=work, args=(rank, ports, root, messages)) for rank in range(2)]
    for each in processes:
        each.start()
    results: dict[int, Result] = {}
    deadline = time.monotonic() + 300
    while 0 not in results and time.monotonic() < deadline:
        rank, result = messages.get(timeout=300)
        results[rank] = result
    for each in processes:
        each.join(30)
        each.kill()
    return [results[0], results[1]]


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("recipe", r"process 1 on \S+ has the recipe demo, .* has the recipe demo \(optim\.lr 0\.002 -> 0\.5\)"),
        ("run", r"\(run\.checkpoint_epochs 1 -> 2\): give all processes the same recipe"),
        ("images", r"images with the hash \w{8} in \S+/other.*: give all processes the same images with --data"),
        ("fewer images", r"process 1 on \S+ has 7 images in \S+/fewer, process 0 on \S+ has 8 images in \S+/data:"),
        ("no images", r"process 1 on \S+: no data at \S+/nowhere"),
        ("size", r"images with the hash \w{8} in \S+/sizes"),
        ("out", r"process 1 on \S+: --out is \S+/elsewhere, which is not the folder \S+/out of process 0"),
        ("step", r"process 1 on \S+ has step 6 of the run in \S+/step-1, process 0 on \S+ has step 5 .* one --out"),
        ("torch", r"process 1 on \S+ has torch 9\.9\.9, process 0 on \S+ has torch 2"),
        ("code", r"process 1 on \S+ has code ffffffff in .*: use one checkout"),
    ],
)  # fmt: skip
def test_what_differs_is_one_sentence_with_the_process_that_differs(case: str, says: str, both: list[Result]) -> None:
    kind, sentence, seconds = both[0][case]
    assert kind == "UserError" and seconds < 20
    assert "\n" not in sentence
    assert re.search(says, sentence), sentence
    assert both[1][case][:2] == ("SystemExit", "2")  # it leaves without a word


def test_all_processes_stay_until_the_checkpoint_is_written(both: list[Result]) -> None:
    assert all(result["stop"] >= both[0]["written"] for result in both)


@pytest.mark.parametrize("what", ["hangs", "dies"])
def test_a_process_that_is_lost_is_named(what: str, both: list[Result]) -> None:
    assert both[0][what] == "process 1 of 2 has died or does not answer"
