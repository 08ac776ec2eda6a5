"""GPUs to plan for, and what share of their peak training reaches."""

from __future__ import annotations

from dataclasses import dataclass

# NVIDIA's own ResNet-50 training reaches 2,470 images/s on one A100 in mixed precision (DeepLearningExamples,
# ResNet-50 v1.5 for PyTorch): 2,470 x 6 x 4.09 GFLOP/s are 19 % of its 312 TFLOP/s.
DEFAULT_EFFICIENCY = 0.19


@dataclass(frozen=True)
class Gpu:
    """Dense tensor throughput with 16-bit operands and 32-bit sums, and memory, from NVIDIA's data sheets.

    Attributes:
        has_bf16: else the throughput is float16's, which this engine does not train in.
    """

    title: str
    tflops: float
    memory_gib: float
    has_bf16: bool = True


GPUS: dict[str, Gpu] = {
    "v100": Gpu("V100 32GB", 125, 32, has_bf16=False),  # V100 data sheet 2020, SXM2
    "a100": Gpu("A100 40GB", 312, 40),  # A100 data sheet 2020
    "a100-40gb": Gpu("A100 40GB", 312, 40),
    "a100-80gb": Gpu("A100 80GB", 312, 80),  # A100 data sheet 2021
    "h100": Gpu("H100 80GB", 989, 80),  # H100 data sheet 2023, SXM; its 1,979 is with sparsity
    "h200": Gpu("H200 141GB", 989, 140),  # H200 data sheet 2023, SXM; as above
    "rtx4090": Gpu("RTX 4090", 165, 24),  # Ada GPU architecture white paper 2022; its 330 is with 16-bit sums
}
