"""A user's own masks with any architecture: ``voc-any``, with classes, images and schedule of the data.

    tools/transfer_seg.sh own-masks-any CHECKPOINT --data DIR

Epochs and bounds are those of ``own_masks``; the warm-up has its part of ``voc-any``'s schedule, 7.5 %.
"""

_base_ = ["voc_any.py"]
