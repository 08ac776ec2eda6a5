"""Whether a killed trial left something to go on from."""

from __future__ import annotations

from pathlib import Path

from common.files import write_text

IDENTITY = "identity.txt"
POINTER = "last_checkpoint"  # MMEngine writes the path of a checkpoint here once that is complete


def last_checkpoint(work_dir: Path, identity: str) -> Path | None:
    """The newest complete checkpoint that this very trial left in ``work_dir``, or None.

    What another trial left (other settings, weights, data or seed) is removed.

    Args:
        identity: text that determines the trial's result.
    """
    mark = work_dir / IDENTITY
    if not mark.is_file() or mark.read_text(encoding="utf-8") != identity:
        (work_dir / POINTER).unlink(missing_ok=True)
        for stale in work_dir.glob("iter_*.pth"):
            stale.unlink()
        write_text(mark, identity)
        return None
    pointer = work_dir / POINTER
    if not pointer.is_file():
        return None
    # by name: the folder may have been moved since
    checkpoint = work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name
    return checkpoint if checkpoint.is_file() else None


def iteration_of(checkpoint: Path) -> int:
    """Iterations done, from MMEngine's file name ``iter_<number>.pth``."""
    return int(checkpoint.stem.removeprefix("iter_"))
