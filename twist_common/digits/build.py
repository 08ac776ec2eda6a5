"""Builds the whole tree beside its destination and moves it there when it is complete."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twist_common.errors import UserError
from twist_common.files import is_unfinished, make_dir, sha256_file, temporary_name, write_text

VERSION = 1  # raised whenever a byte of the data changes
SEED = 20070101
MANIFEST = "manifest.json"
NUM_TRAIN_SCENES = 200
NUM_TEST_SCENES = 100
CROWD_EVERY = 10  # COCO: every tenth scene has a crowd


def generate(out: Path) -> dict[str, Any]:
    """Writes the embedded data into ``out`` unless it is there already.

    Returns:
        The manifest: ``version``, ``seed``, ``counts`` and ``sha256`` of the tree.

    Raises:
        UserError: ``out`` cannot be written, or holds something else.
    """
    found = read_manifest(out)
    if found is not None:
        return found
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} holds other files: choose an empty folder with --out, or delete it first")
    parent = make_dir(out.absolute().parent)
    for left in parent.glob(f".{glob.escape(out.name)}.*.tmp*"):
        if is_unfinished(left):
            shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=temporary_name(out.name)) as scratch:
            tree = Path(scratch) / "digits"
            manifest = _build(tree)
            try:
                tree.replace(out)  # takes the place of an empty folder too
            except OSError:
                # Another process was quicker if the same bytes are there.
                if read_manifest(out) is None:
                    raise
    except OSError as error:
        raise UserError(f"cannot write the digits to {out} ({error.strerror}): choose another --out") from None
    return manifest


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of complete data, or None where there is none.

    Raises:
        UserError: the data is of another version.
    """
    path = out / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is not readable: delete {out} and run the command again") from None
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise UserError(f"{out} holds digits version {version}, not {VERSION}: delete it and run the command again")
    return manifest


def tree_sha256(root: Path) -> str:
    """SHA-256 over the names and contents of all files below ``root`` except the manifest."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            digest.update(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def _build(root: Path) -> dict[str, Any]:
    import numpy as np

    from twist_common.digits.coco import write_coco
    from twist_common.digits.images import write_imagefolder
    from twist_common.digits.scenes import SceneComposer
    from twist_common.digits.source import load_digits, split_digits
    from twist_common.digits.voc import write_voc

    # One random stream for each part: a change to one leaves the others' bytes alone.
    split_rng, voc_train_rng, voc_test_rng, coco_train_rng, coco_val_rng = map(
        np.random.default_rng, np.random.SeedSequence(SEED).spawn(5)
    )
    train, held_out = split_digits(load_digits(), split_rng)
    counts = {
        "imagefolder/train": write_imagefolder(root / "imagefolder" / "train", train),
        "imagefolder/val": write_imagefolder(root / "imagefolder" / "val", held_out),
    }

    voc_train, voc_test = SceneComposer(train, voc_train_rng), SceneComposer(held_out, voc_test_rng)
    voc_counts = write_voc(
        root / "VOCdevkit" / "VOC2007",
        trainval=[voc_train.compose() for _ in range(NUM_TRAIN_SCENES)],
        test=[voc_test.compose() for _ in range(NUM_TEST_SCENES)],
    )
    counts |= {f"voc/{name}": count for name, count in voc_counts.items()}

    for split, digits, rng, num_scenes, first_id in (
        ("train2017", train, coco_train_rng, NUM_TRAIN_SCENES, 1),
        ("val2017", held_out, coco_val_rng, NUM_TEST_SCENES, NUM_TRAIN_SCENES + 1),
    ):
        composer = SceneComposer(digits, rng)
        scenes = [composer.compose(with_crowd=n % CROWD_EVERY == 0) for n in range(num_scenes)]
        write_coco(root / "coco", split, scenes, first_id=first_id, rle=split == "val2017")
        counts[f"coco/{split}"] = num_scenes

    manifest = {"version": VERSION, "seed": SEED, "counts": counts, "sha256": tree_sha256(root)}
    write_text(root / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest
