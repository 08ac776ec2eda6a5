"""The ablations by name. Each starts from a recipe and changes one thing; expected results are in the docstrings.

The paper's own figures are beside the measured ones in the report (``transfer/report/read/published.yaml``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pretrain.recipe import Recipe
from twist_common.errors import unknown_name

# With the demo's mild views a network soon agrees with itself, norm or not; photographs are not that easy.
DIGITS_HARD_VIEWS = ("crops.global_scale=0.25,1.0", "augmentation.rotation_degrees=45")
# 20 px is the size at which a part of a 28 px digit still shows; shares of the area as for the global crops.
DIGITS_LOCAL_CROPS = ("crops.local_size=20", "crops.local_scale=0.3,0.6")


@dataclass(frozen=True)
class Arm:
    """One setting.

    Attributes:
        label: its name in tables and plots.
        overrides: what it changes in the recipe.
        value: the number that is swept, for the plots' axis; None where the settings are not numbers.
    """

    label: str
    overrides: tuple[str, ...]
    value: float | None = None


@dataclass(frozen=True)
class Study:
    """An ablation.

    Attributes:
        name: as typed on the command line.
        title: of the report.
        arms: the settings, from the recipe that they start from.
        columns: keys of :data:`transfer.ablation.outcome.FIGURES` to show in the table.
        swept: what ``Arm.value`` is, or None.
    """

    name: str
    title: str
    arms: Callable[[Recipe], tuple[Arm, ...]]
    columns: tuple[str, ...]
    swept: str | None = None


def nbs() -> Study:
    """With and without the batch norm before the softmax: the form of the paper's table 7.

    ``tools/ablate.sh nbs``

    On digits with the recipe's own views and with harder ones. Expect (one seed): with the recipe's views the two are
    level in accuracy (96.1 with NBS, 96.2 % without) and loss (-1.74, -1.75), and NBS is a little ahead in NMI (67.0,
    66.4); the network without it uses only 14 of the 64 classes, near the ten that there are. With harder views NBS is
    ahead in all three: without it the output stays uniform (loss -0.19 against 0.00, NMI 22.0 against 9.5, accuracy
    90.3 against 87.7 %), and the sentinel fires.
    """

    def arms(recipe: Recipe) -> tuple[Arm, ...]:
        mild = (Arm("with NBS", ("model.nbs=true",)), Arm("without NBS", ("model.nbs=false",)))
        if recipe.augmentation.kind != "digits":
            return mild
        harder = (Arm(f"{arm.label}, harder views", (*arm.overrides, *DIGITS_HARD_VIEWS)) for arm in mild)
        return (*mild, *harder)

    return Study(
        name="nbs",
        title="Norm before the softmax",
        arms=arms,
        columns=("loss", "acc", "nmi", "std_c_before", "std_r_before", "std_c_after", "std_r_after", "used_classes"),
    )


def terms() -> Study:
    """Sharpness and diversity on and off: the form of the paper's table 8.

    ``tools/ablate.sh terms``

    In the paper's table the uniform output's entropy is 8.28 (ln C = 8.32, less what eps = 1e-5 takes off). Its
    gradient has a scale of its own; what can be compared is which rows are near 0.
    """
    return Study(
        name="terms",
        title="Terms of the loss",
        arms=lambda recipe: (
            Arm("neither", ("loss.alpha=0", "loss.beta=0")),
            Arm("diversity alone", ("loss.alpha=0",)),
            Arm("sharpness alone", ("loss.beta=0",)),
            Arm("both", ()),
        ),
        columns=("sharpness", "diversity", "grad", "std_r_after", "used_classes", "acc", "nmi"),
    )


def classes() -> Study:
    """The number of classes C: a curve like the paper's figure 4.

    ``tools/ablate.sh classes``
    """
    return Study(
        name="classes",
        title="Number of classes",
        arms=lambda recipe: tuple(
            Arm(f"C = {number}", (f"model.num_classes={number}",), number)
            for number in _scaled(recipe.model.num_classes, (0.25, 0.5, 1, 2, 4))
        ),
        columns=("loss", "sharpness", "diversity", "used_classes", "acc", "nmi"),
        swept="classes C",
    )


def epochs() -> Study:
    """The length of the training: curves like the paper's figure 4(b), each length with its own learning-rate schedule.

    ``tools/ablate.sh epochs``
    """
    return Study(
        name="epochs",
        title="Length of the training",
        arms=lambda recipe: tuple(
            Arm(f"{number} epochs", (f"epochs={number}",), number)
            for number in _scaled(recipe.epochs, (0.25, 0.5, 1, 2))
        ),
        columns=("loss", "consistency", "sharpness", "diversity", "acc", "nmi"),
        swept="epochs",
    )


def multicrop() -> Study:
    """The number of local crops beside the two global ones.

    ``tools/ablate.sh multicrop``
    """

    def arms(recipe: Recipe) -> tuple[Arm, ...]:
        is_digits = recipe.augmentation.kind == "digits"
        numbers, size = ((0, 1, 2, 4), DIGITS_LOCAL_CROPS) if is_digits else ((0, 2, 4, 8, 12), ())
        changes = ((number, (f"crops.num_local={number}", *(size if number else ()))) for number in numbers)
        return tuple(Arm(f"{number} local", overrides, number) for number, overrides in changes)

    return Study(
        name="multicrop",
        title="Local crops",
        arms=arms,
        columns=("loss", "consistency", "sharpness", "diversity", "acc", "nmi"),
        swept="local crops",
    )


STUDIES: dict[str, Callable[[], Study]] = {
    "nbs": nbs,
    "terms": terms,
    "classes": classes,
    "epochs": epochs,
    "multicrop": multicrop,
}


def get(name: str) -> Study:
    """The ablation of this name.

    Raises:
        UserError: there is none.
    """
    if name not in STUDIES:
        raise unknown_name("ablation", name, STUDIES)
    return STUDIES[name]()


def _scaled(number: int, factors: tuple[float, ...]) -> list[int]:
    """The number times each factor, whole and at least 1, each once."""
    return list(dict.fromkeys(max(1, round(number * factor)) for factor in factors))
