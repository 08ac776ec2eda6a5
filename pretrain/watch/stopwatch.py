"""How fast training goes, and how much of the time it waits for images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Stopwatch(Generic[Item]):
    """Passes items on, and measures the time that they take to come and the time between them."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._start = time.monotonic()
        self._wait_seconds = 0.0
        self._num_items = 0

    def __iter__(self) -> Iterator[Item]:
        items = iter(self._items)
        while True:
            asked = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            self._wait_seconds += time.monotonic() - asked
            self._num_items += 1
            yield item

    def lap(self, images_per_item: int) -> dict[str, float]:
        """Images a second and the share of the time spent waiting for them, since the last lap."""
        now = time.monotonic()
        seconds = max(now - self._start, 1e-9)
        speed = {
            "images_per_second": images_per_item * self._num_items / seconds,
            "data_wait_share": self._wait_seconds / seconds,
        }
        self._start, self._wait_seconds, self._num_items = now, 0.0, 0
        return speed
