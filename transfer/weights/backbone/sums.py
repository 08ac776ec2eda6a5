"""The checksums in what torch has written since 1.6, a zip archive; torch itself reads past them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from twist_common.errors import UserError


def check_sum(path: Path) -> None:
    """Reads a zip archive's stored parts; other files have no checksums.

    Raises:
        UserError: a part has another sum than is written beside it. One of 0 is none
            (``torch.serialization.set_crc32_options``).
    """
    if not zipfile.is_zipfile(path):
        return
    name = "its directory"
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename
                if info.CRC and info.compress_type == zipfile.ZIP_STORED:
                    with archive.open(info) as file:
                        while file.read(1 << 20):
                            pass
    except OSError:
        raise
    except Exception:  # the archive's reader raises almost any type
        raise UserError(f"{path} is damaged ({name!r:.60} has another checksum): copy or download it again") from None
