"""Whether torch can use the GPUs that :mod:`twist_common.gpus` counts. Initialises CUDA in this process."""

from __future__ import annotations

import re

from twist_common.errors import UserError
from twist_common.gpus import driver_version, joint_gpus, required_gpus, titles


def check_cuda() -> None:
    """Checks that torch sees every visible GPU.

    PyTorch's own word on this is a warning, which the launchers' ``PYTHONWARNINGS=ignore`` hides, and then it computes
    on the CPU.

    Raises:
        UserError: it does not; the sentence has the versions of the driver and of torch.
    """
    import torch

    gpus = joint_gpus(required_gpus())
    way_out = "or give --device cpu"
    try:
        torch.cuda.init()
        seen = torch.cuda.device_count()
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        reason = str(error).strip().splitlines()[0]
        if version := re.search(r"too old \(found version (\d+)\)", reason):  # 11040 is 11.4
            supported = f"{int(version[1]) // 1000}.{int(version[1]) % 1000 // 10}"
            raise UserError(
                f"the NVIDIA driver {driver_version()} is too old, it supports CUDA {supported} and torch "
                f"{torch.__version__} needs {torch.version.cuda}: install a newer driver, {way_out}"
            ) from None
        raise UserError(
            f"this machine has {titles(gpus)[0]} (driver {driver_version()}), but torch {torch.__version__} cannot use "
            f"it ({reason}): fix that, {way_out}"
        ) from None
    if seen != len(gpus):
        raise UserError(
            f"torch sees {seen} of the {len(gpus)} GPUs that nvidia-smi lists: look for the others in dmesg and "
            f"nvidia-smi, name those that work in CUDA_VISIBLE_DEVICES, {way_out}"
        )
