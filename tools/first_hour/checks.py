"""The checks: each returns what it measured, or raises CheckError or SkippedError."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import twist_configs.pretrain
from pretrain import launch, planner
from pretrain.data.augment import build_views
from pretrain.data.dataset import TwistDataset
from pretrain.data.device_augment import prepare
from pretrain.distributed import Process
from pretrain.model.twist_model import build_model
from pretrain.run import checkpoint, trainer
from pretrain.run.optim import build_optimizer
from pretrain.run.step import TrainStep
from tools.first_hour.gpu_steps import images_per_second, layouts, memory
from tools.first_hour.processes import norms_over_processes
from tools.first_hour.site import NUM_IMAGES, CheckError, Site, SkippedError
from transfer import benchmarks
from transfer.trials.plan import TrialPlan, plan_trials, weights_ref
from transfer.trials.process import call, fork_server
from transfer.trials.run_many import run_trials
from transfer.trials.states import recorded_state
from twist_common import overrides
from twist_common.cuda import check_cuda
from twist_common.gpu_kinds import GPUS, TERA, is_kind
from twist_common.gpus import titles, visible_gpus

# One short trial of each task and of fine-tuning, off protocol.
TRIALS = {
    "demo-voc": ("SOLVER.MAX_ITER=2",),
    "demo-seg": ("train_cfg.max_iters=2",),
    "demo-linear": (),
    "demo-1pct": ("epochs=1",),
    "demo-cluster": (),
}
GRADIENT_TOLERANCE = 0.45  # of the length of the head's gradient; on a fresh ResNet-18 and CPUs it is 0.26 to 0.31
NORM_TOLERANCE = 1e-4
LEVEL_TOLERANCE = 2.0  # of 255, on average: floats against 8 bits
RESUME_TOLERANCE = {"cpu": 0.0, "cuda": 1e-2}  # of the distance trained; on GPUs sums have no fixed order
SLOWEST = 0.25  # share of the planned speed below which something is wrong
SECONDS = 150.0  # for a check in processes of its own


@dataclass(frozen=True)
class Check:
    """A check, and what to do if it fails."""

    run: Callable[[Site], str]
    remedy: str


def driver(site: Site) -> str:
    """Torch sees every GPU."""
    if site.device == "cpu":
        raise SkippedError("no GPU is visible, or --device cpu was given")
    check_cuda()
    return f"{len(visible_gpus())} GPUs"


def gradients(site: Site) -> str:
    """The gradient of a step in bf16 is the one in fp32 up to rounding."""
    if site.device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise SkippedError("this GPU has no bf16: pre-training is in fp16")
    exact, rounded = (_gradient(site, precision) for precision in ("fp32", "bf16"))
    error = float((rounded - exact).norm() / exact.norm())
    if not error < GRADIENT_TOLERANCE:
        raise CheckError(f"bf16 differs from fp32 by {error:.0%} of the gradient, over {GRADIENT_TOLERANCE:.0%}")
    return f"bf16 differs from fp32 by {error:.0%} of the gradient"


def _gradient(site: Site, precision: str) -> Tensor:
    process = Process(site.torch_device)
    recipe = site.recipe(f"precision={precision}", "crops.num_local=0", f"data.batch_size={NUM_IMAGES}")
    model = build_model(recipe, process)
    dataset = TwistDataset(site.few, recipe)
    batch = dataset.__getitems__([(0, index) for index in range(NUM_IMAGES)])
    views = prepare(batch.views, recipe, batch.seeds, process.device)
    step = TrainStep(recipe, model, None, build_optimizer(recipe.optim, model), process, steps_per_epoch=2)
    step([views], 0)
    # Only the head's: in an untrained network, deeper gradients lose a digit of precision in each batch norm.
    grads = [param.grad for param in model.head.parameters() if param.grad is not None]
    return torch.cat([grad.flatten().float().cpu() for grad in grads])


def jitter(site: Site) -> str:
    """Colors augmented on the device match those from the data-loading processes."""
    seeds, rng = [1, 2, 3, 4], np.random.default_rng(0)
    images = [np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((32, 32, 1), np.uint8)) for _ in seeds]
    made = []
    for place in ("loader", "device"):
        recipe = overrides.apply(twist_configs.pretrain.get("rn50"), [f"augmentation.jitter_on={place}"])
        views = build_views(recipe, 0)(images, seeds)  # type: ignore[arg-type]
        device = site.torch_device if place == "device" else torch.device("cpu")
        made.append([view.cpu() for view in prepare(views, recipe, torch.tensor(seeds), device)])
    levels = 255 * 0.225 * max(float((one - other).abs().mean()) for one, other in zip(*made, strict=True))
    if not levels < LEVEL_TOLERANCE:
        raise CheckError(f"a view differs by {levels:.1f} levels of 255 on average, over {LEVEL_TOLERANCE:g}")
    return f"views differ by at most {levels:.2f} levels of 255 on average"


def resume(site: Site) -> str:
    """A resumed run ends with the weights of an uninterrupted one."""
    whole, resumed = site.folder / "whole", site.folder / "resumed"
    for out in (whole, resumed):
        shutil.rmtree(out, ignore_errors=True)
    process, recipe = Process(site.torch_device), site.recipe()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train(recipe, data=site.few, out=whole, process=process)
        resumed.mkdir()
        shutil.copy(whole / "checkpoint-0001.pth", resumed / "checkpoint.pth")
        trainer.train(recipe, data=site.few, out=resumed, process=process)
    first, last, again = (
        _weights(path) for path in (whole / "checkpoint-0001.pth", whole / "checkpoint.pth", resumed / "checkpoint.pth")
    )
    error = float((again - last).norm() / (last - first).norm())
    if not error <= RESUME_TOLERANCE[site.device]:
        raise CheckError(f"the weights of the resumed run are {error:.1%} of the distance trained away")
    return "the same weights" if error == 0 else f"weights within {error:.2%} of the distance trained"


def _weights(path: Path) -> Tensor:
    state = checkpoint.load(path)["model"]
    return torch.cat([value.flatten().double() for name, value in state.items() if value.is_floating_point()])


def ddp(site: Site, *changes: str) -> str:
    """All GPUs train together, over NCCL; on CPU two processes over gloo."""
    if site.device == "cuda" and site.num_processes == 1:
        raise SkippedError("there is one GPU")
    out = site.folder / "ddp"
    shutil.rmtree(out, ignore_errors=True)
    recipe = site.recipe()
    options = [*launch.STANDALONE, f"--nproc-per-node={site.num_processes}"]
    line = ["demo", "--device", site.device, "--data", str(site.few), "--out", str(out)]
    settings = [f"data.batch_size={recipe.data.batch_size}", "epochs=1", "model.hidden=32", "model.num_classes=16"]
    line += [*settings, "run.num_workers=1", *changes]
    program = f"import sys; from pretrain import launch; sys.exit(launch.torchrun({options}, {line}))"
    site.run(["-c", program], seconds=SECONDS)
    return f"{site.num_processes} processes trained and wrote {(out / 'backbone.pth').name}"


def syncbn(site: Site, synchronise: Callable[[nn.Module, Process], None] | None = None) -> str:
    """Batch norm over several processes is batch norm over the whole batch."""
    if site.device == "cuda" and site.num_processes == 1:
        raise SkippedError("there is one GPU")
    error = norms_over_processes(site, synchronise)
    if not error < NORM_TOLERANCE:
        raise CheckError(f"{site.num_processes} processes and one differ by {error:.1e} of the outputs and gradients")
    return f"{site.num_processes} processes and one differ by {error:.0e} of the outputs and gradients"


def fork(site: Site, work: Callable[[str], float] | None = None) -> str:
    """A process forked from one that has imported all frameworks can use the device."""
    context = fork_server([plan for name in TRIALS for plan in _plans(site, name)])
    found = call(context, work or sum_of_ones, site.device, gpus=visible_gpus()[:1] if site.device == "cuda" else ())
    if found != 3.0:
        raise CheckError(f"1 + 1 + 1 is {found} in a forked process")
    return f"a forked process computes on {site.device}"


def sum_of_ones(device: str) -> float:
    """3, computed on the device."""
    return float(torch.ones(3, device=device).sum())


def trials(site: Site, names: Sequence[str] = tuple(TRIALS)) -> str:
    """A short trial of each task, and of fine-tuning, ends with a record."""
    plans = [plan for name in names for plan in _plans(site, name)]
    for plan in plans:
        shutil.rmtree(plan.trial_dir, ignore_errors=True)
    run_trials(plans)
    records = {plan.benchmark.name: recorded_state(plan).record for plan in plans}
    for name, record in records.items():
        if record is None or record.status != "done":
            raise CheckError(f"{name}: {record.error if record else 'no record'}")
    return ", ".join(f"{name} {record.wall_seconds:.0f} s" for name, record in records.items() if record)


def _plans(site: Site, name: str) -> list[TrialPlan]:
    return plan_trials(
        runs=site.folder / "trials",
        suite="preflight",
        benchmarks=[benchmarks.get(name)],
        weights=[weights_ref("random:resnet18")],
        seeds=[0],
        data=site.digits,
        device=site.device,
        overrides=TRIALS.get(name, ()),
    )


def loaders(site: Site) -> str:
    """One core decodes and augments about as many images per second as planned."""
    recipe = overrides.apply(twist_configs.pretrain.get("rn50"), ["data.batch_size=16"])
    planned = 1 / planner.default_core_seconds(recipe)
    dataset = TwistDataset(site.few, recipe)
    speed = max(_loading_speed(dataset) for _ in range(3))
    cores = len(os.sched_getaffinity(0))
    if speed < SLOWEST * planned:
        raise CheckError(f"{speed:.0f} images/s per core, the plan is {planned:.0f}")
    return f"{speed:.0f} images/s per core (plan: {planned:.0f}), {cores} cores"


def _loading_speed(dataset: TwistDataset) -> float:
    start = time.monotonic()
    dataset.__getitems__([(0, index) for index in range(16)])
    return 16 / (time.monotonic() - start)


def speed(site: Site) -> str:
    """A step of rn50 is about as fast as planned."""
    if site.device == "cpu":
        raise SkippedError("plans are for GPUs")
    title = titles(visible_gpus())[0]
    kind = next((name for name in GPUS if is_kind(title, name)), None)
    measured = images_per_second(twist_configs.pretrain.get("rn50"), site.torch_device)
    if kind is None:
        return f"{measured:.0f} images/s on {title}, for which there is no plan"
    planned = planner.plan(twist_configs.pretrain.get("rn50"), gpu=GPUS[kind], num_gpus=1)
    found = f"{measured:.0f} images/s on {title}, the plan is {planned.images_per_second:.0f}"
    if measured < SLOWEST * planned.images_per_second:
        raise CheckError(found)
    return f"{found}; --efficiency {measured * planned.flop_per_image / (GPUS[kind].tflops * TERA):.2g}"


CHECKS: dict[str, Check] = {
    "driver": Check(driver, "install the driver that torch needs, or name the GPUs that work in CUDA_VISIBLE_DEVICES"),
    "gradients": Check(gradients, "train with precision=fp32, and report the GPU and torch's version"),
    "jitter": Check(jitter, "keep augmentation.jitter_on=loader"),
    "resume": Check(resume, "do not trust resumed runs here; look for failing memory (ECC errors in nvidia-smi -q)"),
    "ddp": Check(ddp, "run it with NCCL_DEBUG=INFO, see docs/slurm.md on NCCL; one GPU: CUDA_VISIBLE_DEVICES=0"),
    "syncbn": Check(syncbn, "train on one GPU (CUDA_VISIBLE_DEVICES=0), and report torch's and NCCL's versions"),
    "fork": Check(fork, "look at log.txt of a trial; PYTORCH_NVML_BASED_CUDA_CHECK must be 1 or unset"),
    "trials": Check(trials, "look at log.txt and error.txt of the trial in the preflight's folder"),
    "loaders": Check(loaders, "use more cores per GPU, or augmentation.jitter_on=device; is the machine busy?"),
    "speed": Check(speed, "look at nvidia-smi: clocks, power limit, other processes on the GPU"),
    "memory": Check(memory, "if a plan is close to the GPU's memory, set data.accumulation; report the GPU"),
    "layouts": Check(layouts, "results are correct, but steps slower than need be: report the GPU and torch's version"),
}  # fmt: skip


def outcome(check: Check, site: Site) -> dict[str, Any]:
    """Status, detail and seconds of a check; whatever it raises is a failure."""
    start = time.monotonic()
    try:
        status, detail = "pass", check.run(site)
    except SkippedError as skipped:
        status, detail = "skipped", str(skipped)
    except (Exception, SystemExit) as error:
        status = "fail"
        detail = (str(error) if isinstance(error, CheckError) else f"{type(error).__name__}: {error}").splitlines()[0]
    return {"status": status, "detail": detail, "seconds": round(time.monotonic() - start, 1)}
