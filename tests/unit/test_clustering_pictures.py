"""What the pictures of a clustering trial show, as data; and that their files are small and always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer.tasks.classification.datasets.labelled import LabelledImages
from transfer.tasks.clustering import confusion, top3, usage
from transfer.tasks.clustering.clusterer import Assigned
from transfer.tasks.clustering.matching import Matching, contingency_table, match
from transfer.tasks.clustering.picture_style import save
from transfer.tasks.clustering.pictures import read_class_names
from twist_common.errors import UserError

NAMES = ("ant", "bee", "cat")
#                    cluster 0  1  2  3  4
CONTINGENCY = np.array([[0, 1, 7, 0, 0], [8, 0, 2, 0, 0], [0, 0, 0, 0, 4]])
MATCHING = match(CONTINGENCY)  # 2 -> ant, 0 -> bee, 4 -> cat; 1 is left over, 3 empty


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(row: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(row).integers(0, 256, (90, 120, 3), dtype=np.uint8))


def big(num_labels: int, num_clusters: int) -> Matching:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, num_labels, 50_000), rng.integers(0, num_clusters, 50_000)
    return match(contingency_table(labels, clusters, num_labels, num_clusters))


def some_images(num_images: int, num_clusters: int) -> tuple[LabelledImages, Assigned]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, len(NAMES), num_images)
    ranked = rng.permuted(np.tile(np.arange(num_clusters), (num_images, 1)), axis=1)[:, :5]
    scores = -np.sort(-rng.random(ranked.shape).astype(np.float32), axis=1)
    images = LabelledImages(name="noise", classes=NAMES, labels=labels, read=noise)
    return images, Assigned(features=np.zeros((num_images, 2), np.float32), ranked=ranked, scores=scores)


def test_confusion_has_the_matching_on_its_diagonal_and_what_is_left_over_behind() -> None:
    arranged = confusion.arrange(MATCHING, NAMES)
    assert arranged.columns == (2, 0, 4, 1)
    assert arranged.rows == NAMES
    assert arranged.shares.tolist() == [[7 / 8, 0, 0, 1 / 8], [0.2, 0.8, 0, 0], [0, 0, 1, 0]]
    assert (arranged.num_matched, arranged.num_empty) == (3, 1)
    assert arranged.accuracy == 19 / 22


def test_classes_without_a_cluster_come_last_so_that_the_diagonal_stays_straight() -> None:
    arranged = confusion.arrange(match(np.array([[2, 1], [0, 0], [1, 5]])), NAMES)
    assert arranged.rows == ("ant", "cat", "bee")
    assert arranged.shares.tolist() == [[2 / 3, 1 / 3], [1 / 6, 5 / 6], [0, 0]]
    assert arranged.num_matched == 2


def test_many_classes_are_pooled_to_the_largest_share_of_each_block() -> None:
    shares = np.arange(20.0).reshape(4, 5)
    cells, block = confusion.pooled(shares, 3)
    assert block == 2
    assert cells.tolist() == [[6, 8, 9], [16, 18, 19]]
    same, block = confusion.pooled(shares, 5)
    assert block == 1
    assert (same == shares).all()


def test_usage_is_sorted_and_counts_what_is_unused() -> None:
    measured = usage.measure(MATCHING)
    assert measured.sizes.tolist() == [9, 8, 4, 1, 0]
    assert measured.matched.tolist() == [True, True, True, False, False]
    assert (measured.num_unused, measured.even_share) == (1, 22 / 5)


def test_top3_names_classes_by_the_matching_and_tells_right_from_wrong() -> None:
    images, _ = some_images(1, 5)
    label = int(images.labels[0])
    ranked = np.array([[{0: 2, 1: 0, 2: 4}[label], 1, 3, 0, 2]])
    scores = np.array([[0.6, 0.3, 0.05, 0.03, 0.02]], dtype=np.float32)
    (shown,) = top3.choose(
        images,
        Assigned(features=scores, ranked=ranked, scores=scores),
        MATCHING,
        NAMES,
        number=9,
        rng=seeded(),
    )
    assert shown.right
    assert shown.true_name == NAMES[label]
    assert [likely.name for likely in shown.likely] == [NAMES[label], "(ant)", "(empty cluster)"]
    assert [likely.score for likely in shown.likely] == pytest.approx([0.6, 0.3, 0.05])
    assert [likely.verdict for likely in shown.likely] == ["right", "akin" if label == 0 else "wrong", "wrong"]


def test_the_seed_draws_the_images_and_the_same_for_every_initialisation() -> None:
    images, assigned = some_images(50, 5)
    _, other = some_images(50, 5)
    chosen = [top3.choose(images, assigned, MATCHING, NAMES, number=9, rng=seeded(seed)) for seed in (0, 0, 1)]
    others = top3.choose(images, other, MATCHING, NAMES, number=9, rng=seeded())
    pixels = [[np.asarray(shown.image).sum() for shown in some] for some in (*chosen, others)]
    assert len(set(pixels[0])) == 9
    assert pixels[0] == pixels[1] == pixels[3] != pixels[2]


def test_fewer_than_three_clusters_have_fewer_bars() -> None:
    images, assigned = some_images(4, 2)
    shown = top3.choose(images, assigned, match(np.array([[2, 1], [0, 0], [0, 1]])), NAMES, number=9, rng=seeded())
    assert [len(item.likely) for item in shown] == [2, 2, 2, 2]
    assert top3.draw_top3(shown, "probability")


@pytest.mark.parametrize(("num_labels", "num_clusters"), [(10, 10), (10, 64), (12, 3), (5, 1), (1000, 1200)])
def test_pictures_are_small_files_and_the_same_bytes_every_time(
    num_labels: int, num_clusters: int, tmp_path: Path
) -> None:
    matching = big(num_labels, num_clusters)
    names = [f"class ${number}$ of a long name" for number in range(num_labels)]
    for name, draw in {
        "confusion": lambda: confusion.draw_confusion(confusion.arrange(matching, names)),
        "usage": lambda: usage.draw_usage(usage.measure(matching)),
    }.items():
        first, second = (save(draw, tmp_path / f"{name}-{number}.png").read_bytes() for number in (0, 1))
        assert first == second
        assert first.startswith(b"\x89PNG")
        assert len(first) < 1 << 20


def test_the_picture_of_images_stays_small_with_noise_and_ignores_the_user_s_style(tmp_path: Path) -> None:
    from matplotlib import rc_context

    images, assigned = some_images(20, 5)
    shown = top3.choose(images, assigned, MATCHING, NAMES, number=9, rng=seeded())
    first = save(lambda: top3.draw_top3(shown, "probability"), tmp_path / "first.png").read_bytes()
    with rc_context({"figure.facecolor": "black", "font.size": 20, "lines.linewidth": 9}):
        second = save(lambda: top3.draw_top3(shown, "probability"), tmp_path / "second.png").read_bytes()
    assert first == second
    assert len(first) < 1 << 20
    with Image.open(tmp_path / "first.png") as picture:
        corner = picture.convert("RGB").getpixel((2, 2))
    assert corner == (255, 255, 255)  # opaque white: readable in a dark page


def test_class_names_come_from_the_list_below_the_data_root(tmp_path: Path) -> None:
    classes = ("n01440764", "n01443537", "n09999999")
    assert read_class_names(tmp_path, classes) == classes
    listed = "n01440764 tench, Tinca tinca\nn01443537 goldfish\n\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text(listed)
    assert read_class_names(tmp_path, classes) == ("tench", "goldfish", "n09999999")
    (tmp_path / "LOC_synset_mapping.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="names of the classes"):
        read_class_names(tmp_path, classes)
