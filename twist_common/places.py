"""Where this code is, in a checkout of the repository or an installed package, and where its data sets are."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

CODE = Path(__file__).resolve().parents[1]  # the folder that holds the packages


def is_checkout() -> bool:
    """Whether this code runs from a checkout."""
    return (CODE / "pyproject.toml").is_file()


def data_root() -> Path:
    """The folder of all data sets: ``$DATA_ROOT``, else ``data`` in the checkout or, if installed, in this folder."""
    return Path(os.environ.get("DATA_ROOT", CODE / "data" if is_checkout() else "data"))


def install_extra(name: str) -> str:
    """The command by which pip adds an extra of pyproject.toml: it finds the checkout, or what is installed already."""
    where = CODE if is_checkout() else "twist-transfer"
    return f"pip install {shlex.quote(f'{where}[{name}]')}"
