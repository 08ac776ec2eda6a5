"""Detection and instance segmentation with Detectron2.

Whatever of this package is imported first, in whichever process, Detectron2 can be imported after it; this imports
no framework.
"""

from transfer.compat import prepare_detectron2

prepare_detectron2()
