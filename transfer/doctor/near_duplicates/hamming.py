"""The nearest of many 64-bit hashes, by the number of bits that differ: all pairs, a few words at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from twist_common.progress import Progress

QUERIES = 8  # per task
CHUNK = 8192  # hashes that stay in a core's cache while a task's queries pass


def nearest(
    queries: NDArray[np.uint64], base: NDArray[np.uint64], progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The distance of each query's nearest hash in ``base``, and its row: the first of several.

    Exact, and fast enough: 50,000 queries against 1.28 million hashes are 64 billion XORs and bit counts, minutes on a
    few cores (NumPy releases Python's lock).

    Args:
        queries: (Q,) hashes.
        base: (N,) hashes, N > 0.
    """
    distance = np.full(len(queries), 65, dtype=np.uint8)
    row = np.zeros(len(queries), dtype=np.int64)

    def search(start: int) -> int:
        some = queries[start : start + QUERIES, None]
        best, place = distance[start : start + QUERIES], row[start : start + QUERIES]
        for offset in range(0, len(base), CHUNK):
            bits = np.bitwise_count(some ^ base[offset : offset + CHUNK])
            argmin = bits.argmin(axis=1)
            found = bits[np.arange(len(bits)), argmin]
            nearer = found < best
            best[nearer], place[nearer] = found[nearer], offset + argmin[nearer]
        return len(some)

    done = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for number in threads.map(search, range(0, len(queries), QUERIES)):
            done += number
            progress(done, len(queries), "comparing")
    return distance, row
