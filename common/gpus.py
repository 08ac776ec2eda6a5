"""GPUs to plan for, and the share of their peak that training reaches."""

from __future__ import annotations

from dataclasses import dataclass

# NVIDIA's own ResNet-50 training reaches 2,470 images/s on one A100 in mixed precision (DeepLearningExamples,
# ResNet-50 v1.5 for PyTorch): 2,470 x 6 x 4.09 GFLOP/s are 19 % of its 312 TFLOP/s.
DEFAULT_EFFICIENCY = 0.19

# The same network and source without mixed precision: 938 images/s on one A100, whose convolutions are in TF32, are
# 15 % of its 156 TFLOP/s; 367 images/s on one V100, in single precision, are 57 % of its 15.7 TFLOP/s.
TF32_EFFICIENCY = 0.15
FP32_EFFICIENCY = 0.57


@dataclass(frozen=True)
class Gpu:
    """Dense throughput with sums in single precision, and memory, from NVIDIA's data sheets.

    Attributes:
        tflops: of tensor cores with 16-bit operands.
        memory_gib: in GiB.
        fp32_tflops: outside tensor cores, operands in single precision.
        tf32_tflops: of tensor cores with operands in TF32; None if they do not know it.
        has_bf16: otherwise the throughput is float16's, in which the pre-training engine does not train.
    """

    title: str
    tflops: float
    memory_gib: float
    fp32_tflops: float
    tf32_tflops: float | None
    has_bf16: bool = True


GPUS: dict[str, Gpu] = {
    "v100": Gpu("V100 32GB", 125, 32, 15.7, None, has_bf16=False),  # V100 data sheet 2020, SXM2
    "a100": Gpu("A100 40GB", 312, 40, 19.5, 156),  # A100 data sheet 2020
    "a100-40gb": Gpu("A100 40GB", 312, 40, 19.5, 156),
    "a100-80gb": Gpu("A100 80GB", 312, 80, 19.5, 156),  # A100 data sheet 2021
    "h100": Gpu("H100 80GB", 989, 80, 67, 494),  # H100 data sheet 2023, SXM; its 1,979 and 989 are with sparsity
    "h200": Gpu("H200 141GB", 989, 140, 67, 494),  # H200 data sheet 2023, SXM; as above
    # Ada GPU architecture white paper 2022; its 330 is with 16-bit sums
    "rtx4090": Gpu("RTX 4090", 165, 24, 82.6, 82.6),
}
