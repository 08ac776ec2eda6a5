"""What ``tools/preflight.sh`` found on machines, as it writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twist_common.strict_json import number, read_object, text

PREFLIGHT_FILE = "preflight.json"
FORMAT = "twist-transfer preflight"
VERSION = 1
STATUSES = ("pass", "fail", "skipped")


@dataclass(frozen=True)
class CheckFound:
    """One check of a machine; ``status`` is one of :data:`STATUSES`."""

    name: str
    status: str
    seconds: float
    detail: str


@dataclass(frozen=True)
class Preflight:
    """The checks of one machine, in their order.

    Attributes:
        device: GPUs or processor, driver and torch.
        content: of the file, for archives.
    """

    device: str
    checks: tuple[CheckFound, ...]
    content: bytes


def read(content: bytes, where: str) -> Preflight:
    """The content of a ``preflight.json``. Raises UserError if it is not such a file."""

    def build(raw: dict[str, Any]) -> Preflight:
        checks = tuple(
            CheckFound(name, text(found, "status"), number(found["seconds"], "seconds"), text(found, "detail"))
            for name, found in raw["checks"].items()
        )
        for each in checks:
            if each.status not in STATUSES:
                raise ValueError(f"status {each.status!r} of {each.name}: known are {', '.join(STATUSES)}")
        return Preflight(text(raw, "device"), checks, content)

    return read_object(content, where, form=FORMAT, version=VERSION, build=build)
