"""Frozen probe of ``own_masks``: ``voc --frozen``, with classes, images and schedule of the data.

    tools/transfer_seg.sh own-masks CHECKPOINT --data DIR --frozen

A fifth of the iterations, as in ``voc_frozen``: 6 epochs, at least 400 iterations, and at most 4,000.
"""

_base_ = ["voc_frozen.py"]
