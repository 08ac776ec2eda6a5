"""The pictures of a clustering trial: confusion matrix, use of the clusters, three likely classes of some images."""

from __future__ import annotations

from pathlib import Path

from transfer.tasks.classification.labelled import LabelledImages
from transfer.tasks.clustering.class_names import read_class_names
from transfer.tasks.clustering.clusterer import Assigned
from transfer.tasks.clustering.matching import Matching
from transfer.tasks.clustering.pictures import confusion, top3, usage
from transfer.tasks.clustering.pictures.style import save
from transfer.trial import Trial


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
    shown = top3.choose(test, assigned, matching, names, number=num_shown, seed=trial.seed)
    figures = {
        "confusion.png": lambda: confusion.draw(confusion.arrange(matching, names)),
        "usage.png": lambda: usage.draw(usage.measure(matching)),
        "top3.png": lambda: top3.draw(shown, score_name),
    }
    paths = []
    for number, (name, figure) in enumerate(figures.items()):
        trial.progress(number, len(figures), "pictures")
        paths.append(save(figure, trial.work_dir / name))
    return paths
