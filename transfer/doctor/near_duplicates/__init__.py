"""Test images that the pre-training may have seen: by perceptual hash, outside any trial."""
