"""A user's own masks: ``voc``, with classes, images and schedule of the data (``transfer/tasks/segmentation/own.py``).

    tools/transfer_seg.sh own-masks CHECKPOINT --data DIR

30 epochs, as VOC12 has in ``voc``; at least 2,000 iterations, and at most VOC12's 20,000.
"""

_base_ = ["voc.py"]
