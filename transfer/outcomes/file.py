"""What a trial found for each test image, kept beside its record, and the metrics that follow from that alone.

By it a report knows what other test images could have given, and a verifier whether the record's figures follow. Only
numpy is needed to read and write one; the same outcomes give the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.outcomes.clusters import Clusters
from transfer.outcomes.depths import Depths
from transfer.outcomes.kind import Outcomes
from transfer.outcomes.labels import Hits, Ranks
from transfer.outcomes.objects import Matches
from transfer.outcomes.pixels import Confusion
from twist_common.errors import UserError
from twist_common.strict_json import brief, loads, reason

MAX_OUTCOMES_BYTES = 16 << 20  # COCO's 5,000 images with 100 detections each take 1 MB
MAX_UNPACKED_BYTES = 256 << 20
MAX_ARRAYS = 16
FACTS = "facts"  # the array of the kind and of what is no array, as JSON
SAME = 1e-9  # of figures that are computed anew: in the same order, but perhaps by another machine's libraries
# What numpy, zipfile, zlib and we raise for a damaged file.
UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, OSError, EOFError, RuntimeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
KINDS: dict[str, type[Outcomes]] = {
    "hits": Hits,
    "ranks": Ranks,
    "clusters": Clusters,
    "confusion": Confusion,
    "matches": Matches,
    "depths": Depths,
}


def packed(outcomes: Outcomes) -> bytes:
    """The content of the file."""
    kind = next(name for name, cls in KINDS.items() if type(outcomes) is cls)
    arrays, facts = outcomes.parts()
    text = json.dumps({"kind": kind, **facts}, sort_keys=True).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{FACTS: np.frombuffer(text, dtype=np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_outcomes(content: bytes, where: str) -> Outcomes:
    """What :func:`packed` wrote, read in bounded memory and without running anything that is in it.

    Raises:
        UserError: the content is not that; ``where`` names it.
    """
    try:
        arrays = _arrays(content)
        facts = loads(arrays.pop(FACTS).tobytes())
        return KINDS[facts.pop("kind")].of_parts(arrays, facts)
    except UNREADABLE as error:
        raise UserError(
            f"{where} does not hold the outcomes of a trial ({reason(error)}): fetch it again, or remove it with the "
            "record beside it and run the trial again"
        ) from None


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    if len(content) > MAX_OUTCOMES_BYTES:
        raise ValueError(f"more than {MAX_OUTCOMES_BYTES >> 20} MiB")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ARRAYS or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
            raise ValueError(f"more than {MAX_ARRAYS} arrays or {MAX_UNPACKED_BYTES >> 20} MiB")
        for entry in entries:
            with archive.open(entry) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError(f"{brief(entry.filename)} is not an array")
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if dtype.kind not in "ui" or math.prod(shape) * dtype.itemsize > entry.file_size:
                raise ValueError(f"{brief(entry.filename)} is not an array of whole numbers")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def not_following(metrics: Mapping[str, float], outcomes: Outcomes) -> list[str]:
    """One sentence for each metric of a record that its outcomes contradict; those that they do not hold are left out.

    Args:
        metrics: of the record, in percent.
    """
    return [
        f"{name} is {metrics[name]!r}, its outcomes give {value!r}"
        for name, value in outcomes.metrics().items()
        if name in metrics and not math.isclose(metrics[name], value, rel_tol=SAME, abs_tol=SAME)
    ]
