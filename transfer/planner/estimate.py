"""How long a trial takes, and how this is known. Pure but for counting backbones (:mod:`transfer.planner.flop`)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.benchmarks import BENCHMARKS
from transfer.planner import flop
from transfer.planner.devices import Machine
from transfer.planner.history import PastTrial
from transfer.rows import Benchmark
from transfer.work import Flop, Work
from twist_common.gpu_kinds import FP32_EFFICIENCY, TERA, V100, Gpu, convolution_tflops

# Of the speed of a well-fed classifier, what steps of dense tasks reach with their whole batch on one H100: voc 0.82,
# coco 0.85, seg-voc 1.0 (docs/log.md, 2026-11-27).
WHOLE_BATCH = 0.8

Kind = Literal["recorded", "recorded, scaled", "probe", "GPU table", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of one trial.

    Attributes:
        device_seconds: wall-clock seconds times devices; None: unknown.
        low, high: the range of what the estimate rests on, scaled as it is; None: it rests on a single figure.
        source: what it rests on, in words.
    """

    kind: Kind
    device_seconds: float | None
    source: str
    low: float | None = None
    high: float | None = None


def unknown(why: str = "give --probe") -> Estimate:
    """No number, and what could be done about it."""
    return Estimate(kind="unknown", device_seconds=None, source=f"unknown, {why}")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A trial whose time is asked for.

    Attributes:
        on_protocol: neither overrides nor another batch.
        work: what it computes; without phases where nobody described it.
        num_devices: GPUs that share its steps.
    """

    benchmark: Benchmark
    on_protocol: bool
    work: Work
    machine: Machine
    num_devices: int = 1


def estimate(
    question: Question, past_trials: Sequence[PastTrial], probe: Callable[[], Estimate] | None = None
) -> Estimate:
    """The first that exists of: recorded trials of the same benchmark, a probe, recorded trials of the same task
    scaled by floating-point operations, the table of GPUs; else :func:`unknown`.

    Args:
        probe: measures on this machine; None: nobody asked for that.
    """
    here = [past for past in past_trials if question.machine.is_kind_of(past.device_name)]
    if found := from_benchmark(question, here):
        return found
    measured = probe() if probe is not None else None
    if measured is not None and measured.device_seconds is not None:
        return measured
    if found := from_task(question, here) or from_table(question) or measured:
        return found
    if question.machine.gpu is not None:
        return unknown("its operations are not counted: give records of this GPU with --from")
    return unknown()


def from_benchmark(question: Question, past_trials: Sequence[PastTrial]) -> Estimate | None:
    """The median of recorded trials of this benchmark and architecture; of other lengths only if none has the same."""
    benchmark, work = question.benchmark, question.work
    same = [
        past
        for past in past_trials
        if (past.record.benchmark, past.record.protocol_version) == (benchmark.name, benchmark.protocol_version)
        and work.arch in (None, past.record.weights.arch)
    ]
    equal = [
        (past, past.device_seconds)
        for past in same
        if (question.on_protocol and not past.record.protocol_difference)
        or (past.work and work.phases and (past.work.variant, past.work.phases) == (work.variant, work.phases))
    ]
    if equal:
        return _median(equal, "recorded")
    scaled = [
        (past, past.device_seconds * _size(work) / size)
        for past in same
        if past.work and past.work.variant == work.variant and (size := _size(past.work))
    ]
    return _median(scaled, "recorded, scaled", ", scaled by images") if scaled else None


def from_task(question: Question, past_trials: Sequence[PastTrial]) -> Estimate | None:
    """Recorded trials of other benchmarks of the task, or of another architecture, scaled by operations."""
    task = question.benchmark.task
    others = [past for past in past_trials if past.work and BENCHMARKS[past.record.benchmark].task == task]
    wanted = flop.of_work(question.work) if others else None  # it may import torch
    if not wanted:
        return None
    scaled = [
        (past, past.device_seconds * wanted.total / counted.total)
        for past in others
        if past.work and (counted := flop.of_work(past.work))
    ]
    return _median(scaled, "recorded, scaled", ", scaled by FLOP") if scaled else None


def from_table(question: Question) -> Estimate | None:
    """Operations over what share of the named GPU's peak training is known to reach; None if no GPU is named."""
    machine = question.machine
    if machine.gpu is None or not (counted := flop.of_work(question.work)):
        return None
    without = f", without {' and '.join(question.work.uncounted)}" if question.work.uncounted else ""
    work = f"estimate: {counted.total:.2g} FLOP at"
    if machine.efficiency is not None:
        seconds = measured_seconds(counted, machine.gpu, machine.efficiency)
        source = f"{work} {100 * machine.efficiency:.3g} % of one {machine.name} (--efficiency){without}"
        return Estimate(kind="GPU table", device_seconds=seconds, source=source)
    fast, slow = gpu_seconds(counted, machine.gpu)
    is_dense = question.benchmark.task in ("transfer.tasks.detection", "transfer.tasks.segmentation")
    is_whole = is_dense and question.num_devices == 1
    seconds = min(fast / WHOLE_BATCH, slow) if is_whole else (fast * slow) ** 0.5
    low, high = (counted.total / seconds / TERA for seconds in (slow, fast))
    speed = f"{low:.2g} to {high:.2g}" if high > low else f"{low:.2g}"
    source = f"{work} an assumed {speed} TFLOP/s of one {machine.name}{without}"
    return Estimate(kind="GPU table", device_seconds=seconds, source=source, low=fast, high=slow)


def gpu_seconds(counted: Flop, gpu: Gpu) -> tuple[float, float]:
    """Seconds of one GPU: at the utilisation of a well-fed classifier, and at a V100's speed.

    Tasks train without mixed precision, so torch by default computes convolutions in TF32 where the GPU has it, and
    matrix products in single precision. What ResNet-50 reaches with large batches is the most to hope for. Dense
    tasks have two images per GPU, small kernels and much to do between them, which a faster GPU does not speed up: on
    a V100 they reach what ResNet-50 does (Detectron2's docs/notes/benchmarks.md: 62 images/s of Mask R-CNN on eight).
    The geometric mean of both is the estimate, but for a dense trial on a single GPU, which sees the whole batch
    (:data:`WHOLE_BATCH`); a GPU that is slower than a V100 at its best has no range.
    """
    v100 = V100.fp32_tflops * FP32_EFFICIENCY
    products = gpu.fp32_tflops * FP32_EFFICIENCY
    convolutions = convolution_tflops(gpu)
    if gpu.kind:  # none of the table is slower than a V100
        convolutions = max(convolutions, v100)
    fast = counted.convolutions / (convolutions * TERA) + counted.products / (products * TERA)
    return fast, max(fast, counted.total / (v100 * TERA))


def measured_seconds(counted: Flop, gpu: Gpu, efficiency: float) -> float:
    """Seconds of one GPU that reaches this share of its peaks: TF32's for convolutions, FP32's for the rest."""
    convolutions = (gpu.tf32_tflops or gpu.fp32_tflops) * efficiency * TERA
    return counted.convolutions / convolutions + counted.products / (gpu.fp32_tflops * efficiency * TERA)


def assumptions(machine: Machine) -> str:
    """What estimates from the table rest on, in words; empty on a machine without a GPU of the table."""
    gpu, uncounted = machine.gpu, "loading images and computing the test's metrics are not counted"
    if gpu is None:
        return ""
    if machine.efficiency is not None:
        peaks = (
            f"{gpu.tf32_tflops or gpu.fp32_tflops:g} TFLOP/s for convolutions, {gpu.fp32_tflops:g} for matrix products"
        )
        return (
            f"{100 * machine.efficiency:.3g} % of one {gpu.title}, as measured (--efficiency): of {peaks}; {uncounted}"
        )
    products = f"{100 * FP32_EFFICIENCY:g} % of {gpu.fp32_tflops:g} TFLOP/s in FP32"
    advice = f"{uncounted}; not measured on this GPU: give --efficiency, or records of it with --from"
    if gpu.tf32_tflops is None:
        return f"assumed utilisation of one {gpu.title}: {products}; {advice}"
    convolutions = (
        f"{convolution_tflops(gpu):.3g} of {gpu.tf32_tflops:g} TFLOP/s in TF32 (an A100's share, by its bandwidth)"
    )
    return (
        f"assumed utilisation of one {gpu.title}: at best {convolutions} for convolutions and {products} for matrix "
        f"products, at worst the speed of a V100; the estimate is their geometric mean, of detection and segmentation "
        f"on a single GPU {100 * WHOLE_BATCH:.0f} % of the best; {advice}"
    )


def _size(work: Work) -> float:
    """Images that pass the network, those with a backward pass three times."""
    return sum(phase.num_images * (flop.FORWARD_AND_BACKWARD if phase.trains else 1) for phase in work.phases)


def _median(trials: Sequence[tuple[PastTrial, float]], kind: Kind, how: str = "") -> Estimate:
    """Of each trial's seconds; from ``"median of 5 records of demo-voc on cpu x86_64, 1 thread"``."""
    names = sorted({past.record.benchmark for past, _ in trials})
    devices = sorted({past.device_name for past, _ in trials})
    seconds = [seconds for _, seconds in trials]
    source = f"of {', '.join(names)} on {', '.join(devices)}{how}"
    if len(seconds) == 1:
        return Estimate(kind=kind, device_seconds=seconds[0], source=f"1 record {source}")
    return Estimate(
        kind=kind,
        device_seconds=statistics.median(seconds),
        source=f"median of {len(seconds)} records {source}",
        low=min(seconds),
        high=max(seconds),
    )
