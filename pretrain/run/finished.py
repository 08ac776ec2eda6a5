"""The note of a finished run, which makes it recognisable without importing torch or reading the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from pretrain.recipe import Recipe, recipe_sha256
from twist_common.files import sha256_file, write_text

NOTE_NAME = "finished.json"
CHECKPOINT_NAME = "checkpoint.pth"
BACKBONE_NAME = "backbone.pth"


def write_note(out: Path, recipe: Recipe, precision: str) -> None:
    """Writes the note, last of all; reports also read from it how the exported backbone was trained."""
    note = {
        "recipe": recipe.name,
        "recipe_sha256": recipe_sha256(recipe),
        "epochs": recipe.total_epochs,
        "num_local_crops": recipe.crops.num_local,
        "precision": precision,
        "backbone_sha256": sha256_file(out / BACKBONE_NAME),
    }
    write_text(out / NOTE_NAME, json.dumps(note) + "\n")


def is_finished(out: Path, recipe: Recipe) -> bool:
    """Whether ``out`` holds the results of exactly this recipe, with all files in place."""
    names = (NOTE_NAME, CHECKPOINT_NAME, BACKBONE_NAME)
    if not all((out / name).is_file() for name in names):
        return False
    note = json.loads((out / NOTE_NAME).read_text(encoding="utf-8"))
    return bool(note["recipe_sha256"] == recipe_sha256(recipe))
