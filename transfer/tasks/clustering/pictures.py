"""The pictures of a clustering trial: confusion matrix, use of the clusters, three likely classes of some images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer.streams import Stream, rng
from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.clustering.clusterer import Assigned
from transfer.tasks.clustering.confusion import arrange, draw_confusion
from transfer.tasks.clustering.matching import Matching
from transfer.tasks.clustering.picture_style import save
from transfer.tasks.clustering.top3 import choose, draw_top3
from transfer.tasks.clustering.usage import draw_usage, measure
from transfer.trial import Trial
from twist_common.errors import UserError, is_not_the_files

# "n01440764 tench, Tinca tinca": the list in Kaggle's ImageNet, and one of the same form that a user writes
LISTS = ("LOC_synset_mapping.txt", "classes.txt")


def draw_pictures(
    trial: Trial, test: LabelledImages, assigned: Assigned, matching: Matching, score_name: str, num_shown: int
) -> list[Path]:
    """Writes ``confusion.png``, ``usage.png`` and ``top3.png`` into the trial's work folder.

    The same figures and the same seed give the same bytes.

    Args:
        test: the images that ``assigned`` and ``matching`` are of.
        score_name: what ``assigned.scores`` are.
        num_shown: images in ``top3.png``, drawn by the seed: the same for every initialisation.

    Raises:
        UserError: an image or the list of names cannot be read.
    """
    names = read_class_names(trial.data, test.classes)
    shown = choose(test, assigned, matching, names, number=num_shown, rng=rng(trial.seed, Stream.PICTURE_IMAGES))
    figures = {
        "confusion.png": lambda: draw_confusion(arrange(matching, names)),
        "usage.png": lambda: draw_usage(measure(matching)),
        "top3.png": lambda: draw_top3(shown, score_name),
    }
    paths = []
    for number, (name, figure) in enumerate(figures.items()):
        trial.progress(number, len(figures), "pictures")
        paths.append(save(figure, trial.work_dir / name))
    return paths


def read_class_names(root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """A readable name for each class: the first one in a list below the data root, else its folder's name.

    Args:
        root: it and its folder ``imagefolder`` are searched for one of :data:`LISTS` with lines "folder name, other
            names".
        classes: the folders' names.

    Raises:
        UserError: there is a list that is not text.
    """
    found = [folder / name for folder in (root, root / "imagefolder") for name in LISTS if (folder / name).is_file()]
    if not found:
        return tuple(classes)
    try:
        lines = found[0].read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if is_not_the_files(error):
            raise
        raise UserError(f"cannot read the names of the classes in {found[0]} ({error}): fix or remove it") from None
    listed = {}
    for line in lines:
        folder, _, rest = line.strip().partition(" ")
        if name := rest.split(",")[0].strip():
            listed[folder] = name
    return tuple(listed.get(class_name, class_name) for class_name in classes)
