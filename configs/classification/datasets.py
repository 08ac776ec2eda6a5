"""The classification data sets: how each is split and scored, and how many images it has."""

from transfer.classification.dataset_row import DatasetRow


def _table(*rows: DatasetRow) -> dict[str, DatasetRow]:
    return {row.name: row for row in rows}


DATASETS = _table(
    DatasetRow(
        name="digits",
        title="Embedded digits",
        loader="image_folder",
        metric="top1",
        num_classes=10,
        sizes={"train": 4000, "test": 1000},
        official_val=False,
        split_rule="val is the test set; validation images are held out from train",
        guide="run tools/demo_data.sh, or give another --data",
    ),
    DatasetRow(
        name="imagenet",
        title="ImageNet",
        loader="image_folder",
        metric="top1",
        num_classes=1000,
        sizes={"train": 1281167, "test": 50000},
        official_val=False,
        split_rule="val is the test set, as everywhere; validation images are held out from train",
        guide=(
            "unpack ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (from the ImageNet site, with an account) into "
            "{root}/train/<class>/ and {root}/val/<class>/"
        ),
    ),
)
