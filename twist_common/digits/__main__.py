"""``python -m twist_common.digits --out DIR``: writes the embedded data, or finds it there and returns at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import twist_common.cli


@dataclass(frozen=True, kw_only=True)
class Args:
    """Writes the embedded digits as ImageFolder, Pascal VOC and COCO; does nothing where they already are."""

    out: Path
    """Folder of the data set; made if missing. The same bytes every time."""


def main(args: Args) -> None:
    from twist_common.digits.build import generate

    manifest = generate(args.out)
    counts = ", ".join(f"{name} {count}" for name, count in manifest["counts"].items())
    print(f"{args.out}: digits version {manifest['version']} ({counts})")


def run() -> None:
    twist_common.cli.run(Args, main, prog="tools/demo_data.sh")


if __name__ == "__main__":
    run()
