"""The embedded data: 5,000 real handwritten digits in the true layouts of ImageFolder, Pascal VOC and COCO.

``python -m twist_common.digits --out DIR`` writes them, the same bytes every time:

- ``imagefolder/{train,val}/<0..9>/*.png``: 28x28, 4,000 to train on and 1,000 held out;
- ``VOCdevkit/VOC2007``: scenes of 128x128 with boxes, class masks and object masks;
- ``coco``: other scenes of the same kind with polygons, run lengths and crowds;
- ``manifest.json``: version, seed, counts and SHA-256 of all the rest.

The scenes to train on are composed of training digits only, the scenes to test on of held-out digits only.
"""

from twist_common.digits.build import VERSION, generate
from twist_common.digits.scenes import CLASS_NAMES, SCENE_SIZE

__all__ = ["CLASS_NAMES", "SCENE_SIZE", "VERSION", "generate"]
