"""JPEG files that are like photographs to a decoder and a resampler: colored noise with the spectrum of nature."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pretrain.data.ops import Array

_SLOPE = 1.2  # amplitudes of natural images fall with about the first power of the frequency
_MIX = ((0.8, 0.15, 0.05), (0.3, 0.6, 0.1), (0.3, 0.2, 0.5))  # natural colors are mostly shades of one lightness


def photograph(seed: int, height: int, width: int) -> Array:
    """Smooth colored noise: (H, W, 3) of uint8."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width)
    frequency[0, 0] = 1
    noise = generator.standard_normal((3, height, width))
    planes = np.fft.irfft2(np.fft.rfft2(noise) / frequency**_SLOPE, (height, width))
    image = np.moveaxis(planes, 0, -1) @ np.array(_MIX).T
    levels = 120 + 55 * (image - image.mean()) / image.std()
    return np.clip(levels, 0, 255).astype(np.uint8)


def jpeg(image: Array, quality: int = 90) -> bytes:
    """The image as a JPEG file's content: about 100 kB at 500 x 375, as ImageNet's."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()
