"""``tools/demo_data.sh [--out DIR]``: writes the embedded data, or finds it there and returns at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import twist_common.cli
from twist_common.places import data_root


@dataclass(frozen=True, kw_only=True)
class Args:
    """Writes the embedded digits as ImageFolder, Pascal VOC and COCO; does nothing where they already are.

    The same bytes every time, 25 MB. All demo benchmarks and the recipe demo find them at the default place.

    example: tools/demo_data.sh --out /data/digits
    """

    out: Path | None = None
    """folder of the data set; default $DATA_ROOT/digits, or data/digits in the checkout, or here without one"""


def main(args: Args) -> None:
    from twist_common.digits.build import generate

    out = args.out or data_root() / "digits"
    manifest = generate(out)
    counts = ", ".join(f"{name} {count}" for name, count in manifest["counts"].items())
    print(f"{out}: digits version {manifest['version']} ({counts})")


def run() -> None:
    twist_common.cli.run(Args, main, prog="tools/demo_data.sh")


if __name__ == "__main__":
    run()
