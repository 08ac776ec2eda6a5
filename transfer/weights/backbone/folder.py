"""Folders of checkpoints: which files of theirs are one, and what others are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from transfer.hub_source import HUB_FILES
from transfer.weights.backbone.mapped import MAX_JSON
from transfer.weights.backbone.sniff import CONVERT, ORIGINAL, SUFFIXES
from twist_common.errors import UserError

INDEX = ".index.json"
OTHERS = {
    "adapter_config.json": "an adapter alone (peft), which changes another network: merge_and_unload it, and save that",
    "latest": "what DeepSpeed's ranks wrote: run the zero_to_fp32.py in it, and give what that writes",
    "saved_model.pb": f"a TensorFlow network: {CONVERT}",
    "checkpoint": f"a TensorFlow checkpoint: {CONVERT}",
    "tf_model.h5": f"Keras's weights: {CONVERT}",
    "flax_model.msgpack": f"Flax's weights (JAX): {CONVERT}",
    "_CHECKPOINT_METADATA": f"Orbax's weights (JAX): {CONVERT}",
    "model.onnx": f"an ONNX network: {ORIGINAL}",
    "data.pkl": "an unpacked checkpoint: give the file as torch.save wrote it",
}
"""A file to what a folder with it is, if it has none of Hugging Face's checkpoints."""


def parts_of(path: Path) -> list[Path]:
    """The files that a folder or an index stands for; none for a file.

    Raises:
        UserError: a folder without a checkpoint; an index that is damaged, names a missing file or one elsewhere.
    """
    if path.is_dir():
        inside = next((path / name for name in HUB_FILES if (path / name).is_file()), None)
        if inside is None and (path / ".metadata").is_file():
            raise UserError(
                f"{path} is a folder of torch.distributed.checkpoint: run python -m "
                f"torch.distributed.checkpoint.format_utils dcp_to_torch {path} FILE.pth, and give FILE.pth"
            )
        if inside is None and (kind := next((kind for name, kind in OTHERS.items() if (path / name).is_file()), None)):
            raise UserError(f"{path} holds {kind}")
        if inside is None:
            files = sorted(each.name for each in path.iterdir() if each.name.endswith(SUFFIXES))
            what = f"one of its files ({', '.join(files[:5])})" if files else "the path of a .pth file"
            raise UserError(f"{path} is a folder without {', '.join(HUB_FILES[:4])}: give {what}")
        return parts_of(inside) or [inside]
    if not path.name.endswith(INDEX) or not path.is_file():
        return []
    if path.stat().st_size > MAX_JSON:
        raise UserError(f"{path} is not an index of a Hugging Face checkpoint: it has more than {MAX_JSON:,} bytes")
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        plain_names = bool(names) and all(re.fullmatch(r"[\w][\w.\-]*", name) for name in names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{path} is not an index of a Hugging Face checkpoint: it has no weight_map") from None
    if not plain_names:
        raise UserError(f"{path} names files that are not beside it: it is damaged, or made to do harm")
    if missing := [name for name in names if not (path.parent / name).is_file()]:
        raise UserError(f"{path} names {missing[0]}, which is not beside it: download all {len(names)} files")
    return [path.parent / name for name in names]
