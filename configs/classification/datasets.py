"""The classification data sets: how each is split and scored, and how many images it has.

Sizes, metrics and split rules of the eleven are those of SimCLR's and BYOL's transfer protocol. ``guide`` says what to
fetch; nothing is ever downloaded. An archive may also lie unpacked in the sub-folder in which torchvision keeps it.
"""

from transfer.tasks.classification.dataset_row import DatasetRow

HELD_OUT = "official train and test; validation images are held out from train"
OFFICIAL = "official train, val and test"


def _table(*rows: DatasetRow) -> dict[str, DatasetRow]:
    return {row.name: row for row in rows}


DATASETS = _table(
    DatasetRow(
        name="food101", title="Food-101", loader="food101", metric="top1", num_classes=101,
        sizes={"train": 75750, "test": 25250}, official_val=False, val_fraction=0.1, split_rule=HELD_OUT,
        guide=(
            "unpack food-101.tar.gz (ETH Zurich, Bossard et al.) so that {root}/food-101 holds images/<class>/*.jpg "
            "and meta/{{classes,train,test}}.txt"
        ),
    ),
    DatasetRow(
        name="cifar10", title="CIFAR-10", loader="cifar", metric="top1", num_classes=10,
        sizes={"train": 50000, "test": 10000}, official_val=False, val_fraction=0.1, split_rule=HELD_OUT,
        guide=(
            "unpack cifar-10-python.tar.gz or cifar-10-binary.tar.gz (University of Toronto, Krizhevsky) so that "
            "{root} holds cifar-10-batches-py or cifar-10-batches-bin"
        ),
    ),
    DatasetRow(
        name="cifar100", title="CIFAR-100", loader="cifar", metric="top1", num_classes=100,
        sizes={"train": 50000, "test": 10000}, official_val=False, val_fraction=0.1,
        split_rule=f"{HELD_OUT}; the 100 fine labels",
        guide=(
            "unpack cifar-100-python.tar.gz or cifar-100-binary.tar.gz (University of Toronto, Krizhevsky) so that "
            "{root} holds cifar-100-python or cifar-100-binary"
        ),
    ),
    DatasetRow(
        name="sun397", title="SUN397", loader="sun397", metric="top1", num_classes=397,
        sizes={"train": 19850, "test": 19850}, official_val=False,
        split_rule=(
            "the first of ten official splits, 50 and 50 images a class; validation images are held out from train"
        ),
        guide=(
            "unpack SUN397.tar.gz so that {root}/SUN397 holds a/abbey/*.jpg and so on, and Partitions.zip so that "
            "ClassName.txt, Training_01.txt and Testing_01.txt lie in {root}/SUN397 or {root}/Partitions; Princeton's "
            "links die at times: any copy of the two archives will do, but no copy with another split"
        ),
    ),
    DatasetRow(
        name="cars", title="Stanford Cars", loader="cars", metric="top1", num_classes=196,
        sizes={"train": 8144, "test": 8041}, official_val=False, split_rule=HELD_OUT,
        guide=(
            "Stanford's own links are dead: from a mirror take cars_train.tgz, cars_test.tgz, car_devkit.tgz and "
            "cars_test_annos_withlabels.mat, and lay them out as {root}/stanford_cars/cars_train/*.jpg, "
            "cars_test/*.jpg, devkit/{{cars_meta,cars_train_annos}}.mat and cars_test_annos_withlabels.mat"
        ),
    ),
    DatasetRow(
        name="aircraft", title="FGVC Aircraft", loader="aircraft", metric="mean_per_class", num_classes=100,
        sizes={"train": 3334, "val": 3333, "test": 3333}, official_val=True, split_rule=f"{OFFICIAL}; the 100 variants",
        guide=(
            "unpack fgvc-aircraft-2013b.tar.gz (Oxford VGG) so that {root}/fgvc-aircraft-2013b/data holds "
            "images/*.jpg, variants.txt and images_variant_{{train,val,test}}.txt"
        ),
    ),
    DatasetRow(
        name="voc2007", title="VOC2007 classification", loader="voc2007", metric="map11", num_classes=20,
        sizes={"train": 2501, "val": 2510, "test": 4952}, official_val=True,
        split_rule=f"{OFFICIAL}; an image has several classes, and those marked difficult are not counted",
        guide=(
            "unpack VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar (PASCAL VOC site) so that "
            "{root}/VOCdevkit/VOC2007 holds JPEGImages and ImageSets/Main/<class>_{{train,val,test}}.txt"
        ),
    ),
    DatasetRow(
        name="dtd", title="DTD", loader="dtd", metric="top1", num_classes=47,
        sizes={"train": 1880, "val": 1880, "test": 1880}, official_val=True,
        split_rule="the first of ten official splits, each with train, val and test",
        guide=(
            "unpack dtd-r1.0.1.tar.gz (Oxford VGG) so that {root}/dtd holds images/<class>/*.jpg and "
            "labels/{{train,val,test}}1.txt"
        ),
    ),
    DatasetRow(
        name="pets", title="Oxford-IIIT Pets", loader="pets", metric="mean_per_class", num_classes=37,
        sizes={"train": 3680, "test": 3669}, official_val=False,
        split_rule="official trainval and test; validation images are held out from trainval",
        guide=(
            "unpack images.tar.gz and annotations.tar.gz (Oxford VGG) so that {root}/oxford-iiit-pet holds "
            "images/*.jpg and annotations/{{trainval,test}}.txt"
        ),
    ),
    DatasetRow(
        name="caltech101", title="Caltech-101", loader="caltech101", metric="mean_per_class", num_classes=102,
        # The archive has 9,144 JPEGs; 6,085 for the test, as in some papers, counts the file BACKGROUND_Google/tmp.
        sizes={"train": 3060, "test": 6084}, official_val=False, val_fraction=1 / 6,
        split_rule=(
            "30 images of each class for training, background included, chosen once by the SHA-256 of their names; the "
            "rest for the test; validation images are held out from train"
        ),
        guide=(
            "unpack caltech-101.zip (Caltech's data repository) and 101_ObjectCategories.tar.gz in it, so that "
            "{root}/caltech101/101_ObjectCategories holds <class>/image_*.jpg, BACKGROUND_Google included"
        ),
    ),
    DatasetRow(
        name="flowers102", title="Flowers-102", loader="flowers102", metric="mean_per_class", num_classes=102,
        sizes={"train": 1020, "val": 1020, "test": 6149}, official_val=True, split_rule=OFFICIAL,
        guide=(
            "unpack 102flowers.tgz (Oxford VGG) and put imagelabels.mat and setid.mat beside it, so that "
            "{root}/flowers-102 holds jpg/*.jpg and both files"
        ),
    ),
    DatasetRow(
        name="imagenet", title="ImageNet", loader="image_folder", metric="top1", num_classes=1000,
        sizes={"train": 1281167, "test": 50000}, official_val=False, test_split="val",
        split_rule="val is the test set, as everywhere; validation images are held out from train",
        guide=(
            "put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz (ImageNet site, "
            "with an account) into {root}; in Python torchvision.datasets.ImageNet('{root}', 'train') and the same "
            "with 'val' unpack and sort them into {root}/{{train,val}}/<class>/"
        ),
    ),
    DatasetRow(
        name="digits", title="Embedded digits", loader="image_folder", metric="top1", num_classes=10,
        sizes={"train": 4000, "test": 1000}, official_val=False, test_split="val",
        split_rule="val is the test set; validation images are held out from train",
        guide="delete {root} and run tools/demo_data.sh, or give another --data",
    ),
    DatasetRow(
        name="folder", title="Own images", loader="image_folder", metric="top1", num_classes=0,
        sizes={}, official_val=False, test_split="val",
        split_rule="val is the test set; validation images are held out from train",
        guide="lay the images out as {root}/train/<class>/* and {root}/val/<class>/*, with the same classes in both",
    ),
)  # fmt: skip
