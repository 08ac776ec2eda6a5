"""Class folders of noise: enough for a pre-training whose losses nobody looks at."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image


def write_noise(root: Path, *, num_images: int, num_classes: int) -> Path:
    """``root/train/<class>/<number>.png`` of 28 px; returns ``root``."""
    for index in range(num_images):
        folder = root / "train" / str(index % num_classes)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.byte().numpy()).convert("RGB").save(folder / f"{index:02}.png")
    return root
