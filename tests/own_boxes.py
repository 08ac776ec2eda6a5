"""Boxes and masks of a user's own: a few of the embedded scenes in another layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def make_coco(digits: Path, root: Path) -> Path:
    """Roboflow's layout: a file beside the images of each split, whose categories have other ids in the test."""
    for split, folder, number in (("train2017", "train", 12), ("val2017", "valid", 6)):
        content = json.loads((digits / f"coco/annotations/instances_{split}.json").read_text())
        content["images"] = content["images"][:number]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [each for each in content["annotations"] if each["image_id"] in kept]
        (root / folder).mkdir(parents=True)
        for image in content["images"]:
            shutil.copy(digits / "coco" / split / image["file_name"], root / folder)
        if folder == "valid":
            ids = {each["id"]: 100 - each["id"] for each in content["categories"]}
            for each in content["categories"]:
                each["id"] = ids[each["id"]]
            for each in content["annotations"]:
                each["category_id"] = ids[each["category_id"]]
        (root / folder / "_annotations.coco.json").write_text(json.dumps(content))
    return root
