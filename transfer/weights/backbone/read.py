"""Opens a checkpoint that nobody vouches for: no code in it runs, and whatever is wrong is one sentence."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """What ``torch.save`` wrote, read with ``weights_only=True``; or a file of safetensors.

    ``argparse.Namespace`` is let through besides, for this load only: the official TWIST checkpoints keep their
    command line in one. It is plain data; building it calls nothing.

    Raises:
        UserError: no file, not a checkpoint, damaged, or it holds objects other than tensors and plain containers.
    """
    import torch

    if not path.is_file():
        kind = "is a folder, not a checkpoint" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {kind}: give the path of a .pth file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty: copy or download it again")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's pickle protocol: it loads, or is refused below
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    except Exception as error:
        # The bytes are anybody's: the unpickler and the archive reader raise about every type there is.
        raise UserError(f"{path} is not a checkpoint that can be loaded safely: {_reason(error)}") from None
    if not isinstance(checkpoint, Mapping):
        raise UserError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint's dict of tensors")
    return checkpoint


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def _reason(error: Exception) -> str:
    if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it refers to the Python object {refused[1]}, which is not run; save tensors and plain containers only"
    return "the file is damaged or of another kind; copy or download it again"
