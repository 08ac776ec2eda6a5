"""Classification and clustering: TWIST's code on ImageNet, SimCLR's and BYOL's appendices on the eleven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tools.deviations.rows import NOT_STATED, NotStated, Setting, Side, fields_of
from transfer import benchmarks
from transfer.rows import LabelledDataset
from transfer.tasks.classification.grid_task import Point, sgd_settings
from transfer.tasks.classification.protocol import GridProtocol, load_protocol, log_grid, val_fraction

NO_PROTOCOL = ("views.max_shift", "test_batch_size")  # of the digits alone; changes no figure
NO_SUCH = NotStated("none")
CANDIDATES = "heads beside the official one, with figures of their own: top1_chosen, top5_chosen"
KMEANS = "a benchmark of its own, for checkpoints without a class head"
DRAWN = "a whole number of each class, drawn by the seed"


def ours(benchmark: str) -> Mapping[str, Any]:
    """Every field of the protocol by its name, dots between levels."""
    return dict(fields_of(load_protocol(benchmarks.get(benchmark), ())[0]))


def ours_on_eleven(mode: str) -> Mapping[str, Any]:
    """The protocol, and what each of the eleven data sets adds to it: all benchmarks of a mode have one config.

    For fine-tuning also the SGD of a training, of which the protocol names only a part.
    """
    rows = [benchmarks.get(f"{name}-{mode}") for name in benchmarks.ELEVEN]
    assert len({row.config for row in rows}) == 1
    protocol = load_protocol(rows[0], ())[0]
    found = dict(fields_of(protocol))
    if isinstance(protocol, GridProtocol):
        sgd = sgd_settings(protocol, Point(protocol.lrs[0], 0.0), protocol.steps, 100 * protocol.batch_size)
        found |= {name: getattr(sgd, name) for name in ("cosine", "warmup_steps", "nesterov", "norm_momentum")}
    for row in rows:
        dataset = row.dataset
        assert isinstance(dataset, LabelledDataset)
        sizes = dict(dataset.sizes)
        if not dataset.official_val:
            sizes["val"] = round(sizes["train"] * val_fraction(protocol, dataset))
            sizes["train"] -= sizes["val"]
        found |= {f"{dataset.name}.{name}": value for name, value in {"metric": dataset.metric, **sizes}.items()}
    return found


def _views(source: str, crop: str, interpolation: tuple[str, str], why: str = "") -> tuple[Setting, ...]:
    """``crop`` is the source of what the random crop is; ``interpolation`` its value with its source."""
    return (
        Setting("views.augment", "crop and flip", source),
        Setting("views.min_scale", 0.08, crop),
        Setting("views.interpolation", *interpolation, why),
        Setting("views.size", 224, source),
        Setting("views.resize", 256, source),
    )


def _fewer_labels(fraction: float, lr_backbone: float, epochs: int) -> tuple[Setting, ...]:
    """The README's commands, and ``evaluate.py`` where they say nothing."""
    return (
        Setting("labels_fraction", fraction, "commands"),
        Setting("lr_backbone", lr_backbone, "commands"),
        Setting("lr_head", 0.2, "commands"),
        Setting("epochs", epochs, "commands"),
        Setting("weight_decay", 0.0, "commands"),
        Setting("batch_size", 256, "evaluate"),
        Setting("cosine", "epoch", "evaluate"),
        Setting("warmup_steps", 0, "evaluate"),
        Setting("momentum", 0.9, "evaluate"),
        Setting("nesterov", False, "evaluate"),
        Setting("head_std", 0.01, "evaluate"),
        Setting("norm_batch", NOT_STATED, "evaluate", "a GPU's part of the batch with eight, as in the other commands"),
        Setting("precision", "fp32", "evaluate"),
        *_views("evaluate", "evaluate", ("bilinear", "evaluate"), "bilinear for ResNets, bicubic for ViTs"),
    )


IMAGENET_LINEAR = (
    Setting("resnet.feature", "pooled", "evaluate"),
    Setting("resnet.lr", 0.2, "commands"),
    Setting("resnet.weight_decay", 0.0, "commands"),
    Setting("deit_small.feature", "last 4 class tokens", "evaluate vit"),
    Setting("deit_small.lr", 0.02 * 1024 / 256, "evaluate vit"),
    Setting("deit_small.weight_decay", 0.0, "evaluate vit"),
    Setting("vit_base.feature", "last 4 class tokens", "evaluate vit"),
    Setting("vit_base.lr", 0.0015 * 1024 / 256, "evaluate vit"),
    Setting("vit_base.weight_decay", 0.0, "evaluate vit"),
    Setting("lrs", NO_SUCH, "evaluate", CANDIDATES),
    Setting("weight_decays", NO_SUCH, "evaluate", CANDIDATES),
    Setting("val_fraction", NO_SUCH, "evaluate", f"{CANDIDATES}; the official head sees all training images"),
    Setting("epochs", 100, "evaluate"),
    Setting("batch_size", 1024, "commands"),  # of ViTs too: eight processes with evaluate_vitlinear.py's 128 images
    Setting("momentum", 0.9, "evaluate"),
    Setting("head_std", 0.01, "evaluate"),
    Setting("precision", "fp32", "evaluate"),
    # evaluate.py: bilinear; evaluate_vitlinear.py: bicubic
    *_views("evaluate", "evaluate", ("by family", "evaluate vit")),
)

# As BYOL's table 10 has them: metric, training, validation and test images.
ELEVEN: Mapping[str, tuple[str, int, int, int]] = {
    "food101": ("top1", 68175, 7575, 25250),
    "cifar10": ("top1", 45000, 5000, 10000),
    "cifar100": ("top1", 44933, 5067, 10000),
    "sun397": ("top1", 15880, 3970, 19850),
    "cars": ("top1", 6494, 1650, 8041),
    "aircraft": ("mean_per_class", 3334, 3333, 3333),
    "voc2007": ("map11", 2501, 2510, 4952),
    "dtd": ("top1", 1880, 1880, 1880),
    "pets": ("mean_per_class", 2940, 740, 3669),
    "caltech101": ("mean_per_class", 2550, 510, 6084),
    "flowers102": ("mean_per_class", 1020, 1020, 6149),
}
OTHERWISE_DRAWN = ("cifar100", "cars", "pets")


def _on_eleven() -> Iterator[Setting]:
    for name, (metric, train, val, test) in ELEVEN.items():
        why = DRAWN if name in OTHERWISE_DRAWN else ""
        yield Setting(f"{name}.metric", metric, "simclr")
        yield Setting(f"{name}.train", train, "byol", why)
        yield Setting(f"{name}.val", val, "byol", why)
        yield Setting(f"{name}.test", test, "byol")


LINEAR11 = (
    Setting("labels_per_class", None, "simclr"),  # all
    Setting("val_fraction", NOT_STATED, "byol", "each data set's: the lines on validation images"),
    Setting("choose_by", "metric", "byol"),
    Setting("l2_grid", log_grid(-6, 5, 45), "simclr"),
    Setting("tolerance", NOT_STATED, "simclr", "of the gradient: what is scored has converged"),
    Setting("max_iter", NOT_STATED, "simclr", "never reached: a classifier that does not converge is refused"),
    Setting("resize", 224, "simclr"),
    Setting("crop", 224, "simclr"),
    Setting("precision", NOT_STATED, "simclr", "features in fp32, their regression in fp64"),
    *_on_eleven(),
)

SHORT = "the cheap grid, a benchmark of its own"


def _finetune11(*, cheap: bool) -> tuple[Setting, ...]:
    why = SHORT if cheap else ""
    return (
        Setting("lrs", [10 ** (-4 + step / 2) for step in range(7)], "simclr", why),
        Setting("weight_decays", [0.0, *(10 ** (-6 + step / 2) for step in range(7))], "simclr", why),
        Setting("val_fraction", NOT_STATED, "byol", "each data set's: the lines on validation images"),
        Setting("grid_steps", 20_000, "simclr", why),
        Setting("steps", 20_000, "simclr"),
        Setting("batch_size", 256, "simclr"),
        Setting("momentum", 0.9, "simclr"),
        Setting("nesterov", True, "simclr"),
        Setting("norm_momentum", 0.1, "simclr"),  # 1 - max(1 - 10 / s, 0.9) at the 100 steps per epoch of ours
        Setting("cosine", NOT_STATED, "simclr", "falls in every step, without warm-up: the usual choice"),
        Setting("warmup_steps", NOT_STATED, "simclr", "none"),
        Setting("head_std", NOT_STATED, "simclr", "as the official fine-tuning on ImageNet"),
        Setting("precision", NOT_STATED, "simclr", "as the official evaluations on ImageNet"),
        *_views("byol", "simclr data", ("bicubic", "byol")),
        *_on_eleven(),
    )


def _cluster(*, kmeans: bool) -> tuple[Setting, ...]:
    """``eval_one_epoch`` of ``engine.py`` on the images of ``train.py``."""
    return (
        Setting(
            "clusters_from", "class head", "engine",
            KMEANS if kmeans else "the class head; k-means where a checkpoint has none, which the record names",
        ),
        Setting("resize", 256, "train"),
        Setting("crop", 224, "train"),
        Setting("interpolation", "bilinear", "train"),
        Setting("precision", "fp32", "engine"),  # called without a scaler
        Setting("random_head_hidden", 4096, "train"),
        Setting("random_head_classes", 1000, "engine"),
        *(
            Setting(name, NO_SUCH, "engine", why)
            for name, why in (
                ("random_statistics_images", "of random initialisations alone, whose batch norms have seen nothing"),
                ("kmeans_clusters", f"none given: one per class; {KMEANS}"),
                ("kmeans_images", KMEANS),
                ("kmeans_restarts", KMEANS),
                ("kmeans_minibatch_above", KMEANS),
                ("silhouette_images", "a metric of ours"),
            )
        ),
    )  # fmt: skip


SIDES = (
    Side(
        name="imagenet-linear",
        ours=partial(ours, "imagenet-linear"),
        settings=IMAGENET_LINEAR,
        no_protocol=NO_PROTOCOL,
    ),
    *(
        Side(name=name, ours=partial(ours, name), settings=_fewer_labels(*values), no_protocol=NO_PROTOCOL)
        for name, values in {
            "imagenet-1pct": (0.01, 0.04, 20),
            "imagenet-10pct": (0.1, 0.02, 20),
            "imagenet-100pct": (1, 0.01, 30),
        }.items()
    ),
    *(
        Side(
            name=name,
            ours=partial(ours, name),
            settings=_cluster(kmeans=name == "imagenet-kmeans"),
            no_protocol=("top3_images", "batch_size"),
        )
        for name in ("imagenet-cluster", "imagenet-kmeans")
    ),
    Side(name="linear11", ours=partial(ours_on_eleven, "linear"), settings=LINEAR11, no_protocol=("batch_size",)),
    *(
        Side(name=name, ours=partial(ours_on_eleven, mode), settings=_finetune11(cheap=cheap), no_protocol=NO_PROTOCOL)
        for name, mode, cheap in (
            ("finetune11", "finetune", False),
            ("finetune11 --grid cheap", "finetune-cheap", True),
        )
    ),
)
