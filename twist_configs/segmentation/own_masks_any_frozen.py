"""Frozen probe of ``own_masks_any``: ``voc-any --frozen``, with classes, images and schedule of the data.

tools/transfer_seg.sh own-masks-any CHECKPOINT --data DIR --frozen
"""

_base_ = ["voc_any_frozen.py"]
