"""A process in which fake tensors of CUDA can be differentiated: the driver's stub has to be there before torch."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.devices.fake_cuda import in_a_fork

STUB = Path(__file__).with_name("driver_stub.c")


@pytest.fixture(scope="session")
def on_fake_cuda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Calls a function, importable by name, in that process, and returns its result or raises its error."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) for the stub of CUDA's driver")
    if torch.version.cuda is None:
        pytest.skip("this torch is built without CUDA: its autograd knows no CUDA tensors")
    stub = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", f"-Wl,-soname,{stub.name}", "-o", stub, STUB], check=True)
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(stub))
        patch.setenv("OMP_NUM_THREADS", "1")
        pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)
        pool.submit(in_a_fork, len, "").result()  # starts the process while the stub is in the environment
    with pool:
        yield lambda function, *args, **kwargs: pool.submit(in_a_fork, function, *args, **kwargs).result()
