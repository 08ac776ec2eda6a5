"""How long trials take on several devices, assigned as the runner assigns them (:mod:`transfer.trials.run_many`)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from transfer.trials.devices import DevicePool


def wall_seconds(trials: Sequence[tuple[float, int]], num_devices: int, jobs: int = 0) -> float:
    """Seconds from the first start to the last end.

    Args:
        trials: wall-clock seconds and number of devices of each, at most ``num_devices``.
        jobs: trials at a time; 0: no limit but the devices.
    """
    pool = DevicePool([str(number) for number in range(num_devices)], jobs)
    waiting = sorted(trials, key=lambda trial: -trial[1])
    running: list[tuple[float, tuple[str, ...]]] = []
    now = 0.0
    while waiting or running:
        for trial in list(waiting):
            if (devices := pool.take(trial[1])) is not None:
                waiting.remove(trial)
                heapq.heappush(running, (now + trial[0], devices))
        now, devices = heapq.heappop(running)
        pool.give_back(devices)
    return now
