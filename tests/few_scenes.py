"""The embedded scenes, a dozen of them to test on: enough for a trial whose figures nobody looks at."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

NUM_SCENES = 12


def make_few_scenes(digits: Path, root: Path) -> Path:
    """The embedded data in ``root``, with a dozen test scenes, in which every digit occurs."""
    shutil.copytree(digits, root, ignore=shutil.ignore_patterns("imagefolder", "Segmentation*"), copy_function=os.link)
    test = root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    _rewrite(test, "\n".join(test.read_text().split()[:NUM_SCENES]) + "\n")
    file = root / "coco/annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"] = content["images"][:NUM_SCENES]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    _rewrite(file, json.dumps(content))
    return root


def _rewrite(path: Path, text: str) -> None:
    path.unlink()  # a hard link: the original stays as it is
    path.write_text(text)
