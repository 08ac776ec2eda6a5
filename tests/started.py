"""Starts a process in each way that multiprocessing has, and prints where each looks for modules; for its tests."""

from __future__ import annotations

import json
import multiprocessing
import sys
from multiprocessing import shared_memory
from pathlib import Path


def paths() -> list[str]:
    return [str(Path(each).resolve()) for each in sys.path]  # "" is the current folder


def main() -> None:
    found = {"main": paths(), "arguments": sys.argv[1:]}
    shared_memory.SharedMemory(create=True, size=1).unlink()  # the resource tracker
    for kind in ("forkserver", "spawn"):
        with multiprocessing.get_context(kind).Pool(1) as pool:
            found[kind] = pool.apply(paths)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
