"""Kinds of GPUs to plan for, and the share of their peak that is assumed if it has not been measured."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from twist_common.errors import UserError, unknown_name

TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Gpu:
    """Dense throughput with sums in single precision, memory and its bandwidth, from NVIDIA's data sheets.

    Attributes:
        kind: key in :data:`GPUS`, whose parts are in the name that drivers give; empty: the user described it.
        tflops: of tensor cores with 16-bit operands.
        memory_gib: in GiB.
        bandwidth: of the memory, in GB/s.
        fp32_tflops: outside tensor cores, operands in single precision.
        tf32_tflops: of tensor cores with operands in TF32; None if they do not know it.
        has_bf16: otherwise the throughput is float16's, in which the pre-training engine does not train.
    """

    kind: str
    title: str
    tflops: float
    memory_gib: float
    bandwidth: float
    fp32_tflops: float
    tf32_tflops: float | None
    has_bf16: bool = True


A100 = Gpu("a100-40gb", "A100 40GB", 312, 40, 1555, 19.5, 156)  # A100 data sheet 2020
V100 = Gpu("v100", "V100 32GB", 125, 32, 900, 15.7, None, has_bf16=False)  # V100 data sheet 2020, SXM2

GPUS: dict[str, Gpu] = {
    "v100": V100,
    "a100": dataclasses.replace(A100, kind="a100"),
    "a100-40gb": A100,
    "a100-80gb": Gpu("a100-80gb", "A100 80GB", 312, 80, 2039, 19.5, 156),  # A100 data sheet 2021, SXM
    # H100 data sheet 2023, SXM; its 1,979 and 989 are with sparsity
    "h100": Gpu("h100", "H100 80GB", 989, 80, 3350, 67, 494),
    "h200": Gpu("h200", "H200 141GB", 989, 140, 4800, 67, 494),  # H200 data sheet 2023, SXM; as above
    # Ada GPU architecture white paper 2022; its 330 is with 16-bit sums
    "rtx4090": Gpu("rtx4090", "RTX 4090", 165, 24, 1008, 82.6, 82.6),
}

# Pre-training, in bfloat16: time is what arithmetic takes at one share of the peak, and what memory takes with the
# bytes that autograd keeps at one share of the bandwidth (each byte is read and written many times). Both shares are
# fitted to steps of rn50 and vit_b on one H200 (docs/log.md, 2026-11-26: 1,029 and 545 images/s); deit_s, which is not
# in the fit, took 7 % longer than they say.
PEAK_SHARE = 0.69
BANDWIDTH_SHARE = 0.047

# Transfer, without mixed precision, as NVIDIA's own ResNet-50 training (DeepLearningExamples, ResNet-50 v1.5 for
# PyTorch): 938 images/s x 6 x 4.09 GFLOP/s on one A100, whose convolutions are in TF32, are 15 % of its 156 TFLOP/s;
# 367 images/s on one V100, in single precision, are 57 % of its 15.7 TFLOP/s.
TF32_EFFICIENCY = 0.15
FP32_EFFICIENCY = 0.57


@dataclass(frozen=True)
class GpuArgs:
    """The GPU of a plan."""

    gpu: str | None = None
    """with --plan: plan for this kind of GPU, e.g. h100, a100-80gb, v100"""
    tflops: float | None = None
    """with --plan, any other GPU: its dense peak in TFLOP/s with 16-bit operands (bfloat16), by its data sheet"""
    gpu_memory: float | None = None
    """with --plan and --tflops: its memory in GiB"""
    bandwidth: float | None = None
    """with --plan and --tflops: its memory's bandwidth in GB/s"""
    #: with --plan: share of the GPU's peak that was measured on it, over 0 and up to 1, e.g. 0.11; the peak is that of
    #: the precision that is computed in (pre-training: 16 bits; transfer: TF32 for convolutions, FP32 for the rest);
    #: default: assumed, from arithmetic and bandwidth
    efficiency: float | None = None

    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]

    def resolved(self) -> Gpu | None:
        """The GPU that they name or describe; None: neither.

        Raises:
            UserError: an unknown kind, a description that is not complete, or a number out of range.
        """
        for option in self.given():
            value = getattr(self, option.removeprefix("--").replace("-", "_"))
            if not isinstance(value, str) and not (math.isfinite(value) and value > 0):
                raise UserError(f"{option} is {value}: it has to be over 0")
        if self.efficiency is not None and self.efficiency > 1:
            raise UserError(f"--efficiency is {self.efficiency}: it is the share of the peak, over 0 and up to 1")
        described = (self.tflops, self.gpu_memory, self.bandwidth)
        if self.gpu is not None:
            if described != (None, None, None):
                raise UserError(
                    "--gpu names a known GPU, --tflops, --gpu-memory and --bandwidth describe another: give one"
                )
            if self.gpu not in GPUS:
                raise unknown_name("GPU", self.gpu, GPUS)
            return GPUS[self.gpu]
        if self.tflops is None or self.gpu_memory is None or self.bandwidth is None:
            if described != (None, None, None):
                raise UserError("a GPU is described by all of --tflops, --gpu-memory and --bandwidth")
            return None
        # An A100's and an H100's proportions: TF32 has half of the peak with 16 bits, single precision a sixteenth.
        title = f"GPU of {self.tflops:g} TFLOP/s and {self.bandwidth:g} GB/s"
        tflops = self.tflops
        return Gpu("", title, tflops, self.gpu_memory, self.bandwidth, fp32_tflops=tflops / 16, tf32_tflops=tflops / 2)


def is_kind(title: str, kind: str) -> bool:
    """Whether a GPU's name, as drivers write it, is one of this key of :data:`GPUS`."""
    plain = re.sub(r"[^a-z0-9]", "", title.lower())
    return bool(kind) and all(part in plain for part in kind.split("-"))


def pretraining_efficiency(gpu: Gpu, *, flop: float, kept_bytes: float) -> float:
    """The share of the peak with 16 bits that pre-training is assumed to reach, from arithmetic and bandwidth.

    Args:
        flop, kept_bytes: of one image: operations, and what autograd keeps for its backward pass.
    """
    arithmetic = flop / (gpu.tflops * TERA)
    memory = kept_bytes / (gpu.bandwidth * GIGA)
    return arithmetic / (arithmetic / PEAK_SHARE + memory / BANDWIDTH_SHARE)


def convolution_tflops(gpu: Gpu) -> float:
    """What convolutions of a well-fed classifier are assumed to reach without mixed precision.

    In TF32, :data:`TF32_EFFICIENCY` of the peak, but no more for each byte of bandwidth than the A100 does on which
    that was measured; without TF32, :data:`FP32_EFFICIENCY` of single precision.
    """
    if gpu.tf32_tflops is None or A100.tf32_tflops is None:
        return FP32_EFFICIENCY * gpu.fp32_tflops
    return TF32_EFFICIENCY * min(gpu.tf32_tflops, A100.tf32_tflops * gpu.bandwidth / A100.bandwidth)
