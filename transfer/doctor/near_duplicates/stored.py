"""Images of a folder and of the shards in it, as ranges of bytes that any process can read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twist_common.errors import UserError
from twist_common.images import files_below, is_image

WHAT_TO_GIVE = "give class folders, a flat folder or *.tar shards of images"


@dataclass(frozen=True, slots=True)
class Stored:
    """An image's file, or its part of a shard.

    Attributes:
        name: below the folder that was listed, with forward slashes; in a shard ``<shard>/<member>``.
        offset, size: where the image's bytes are in the file.
    """

    name: str
    path: str
    offset: int
    size: int
    mtime_ns: int

    def read(self) -> bytes:
        """The image's bytes.

        Raises:
            OSError: they cannot be read.
        """
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def list_images(folder: Path) -> list[Stored]:
    """Every image below the folder: files by their suffix, flat or in folders, and members of ``*.tar`` shards.

    Raises:
        UserError: it holds no image, or a shard is damaged.
    """
    found: list[Stored] = []
    for name in files_below(folder):
        if name.endswith(".tar"):
            found += _members(folder / name, folder)
        elif is_image(name):
            found.append(stored_file(folder / name, folder))
    if not found:
        raise UserError(f"no images below {folder}: {WHAT_TO_GIVE}")
    return found


def stored_file(path: Path, root: Path) -> Stored:
    """An image that is a file of its own, named as below ``root``."""
    status = path.stat()
    return Stored(path.relative_to(root).as_posix(), str(path), 0, status.st_size, status.st_mtime_ns)


def _members(path: Path, root: Path) -> Iterator[Stored]:
    below, mtime_ns = path.relative_to(root).as_posix(), path.stat().st_mtime_ns
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                if member.isreg() and is_image(member.name):
                    yield Stored(f"{below}/{member.name}", str(path), member.offset_data, member.size, mtime_ns)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"cannot read the shard {path} ({error}): make or fetch it again") from None
