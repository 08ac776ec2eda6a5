"""Transfer benchmarks: any checkpoint, converted with proof, trained under a named protocol, recorded, reported.

From Python: :mod:`transfer.api`, whose functions are those of this package too.
"""

import importlib
from typing import Any

__all__ = ["build_network", "compare", "convert", "load_backbone", "read_records", "run_trials", "write_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # found when it is asked for, so that commands start quickly
        return getattr(importlib.import_module("transfer.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
