"""Every data set that a benchmark runs on, one row each: what it is, how it is laid out, how many images it has.

Sizes, metrics and splits of the eleven classification data sets are those of SimCLR's and BYOL's transfer protocol. An
unpacked archive may also be in the sub-folder in which torchvision keeps it.
"""

from __future__ import annotations

from transfer.layouts import (
    DIGIT_CLASSES,
    VOC_CLASSES,
    AdeMasks,
    CityscapesMasks,
    CocoBoxes,
    DepthLists,
    MaskFolders,
    MaskList,
    OwnMasks,
    VocBoxes,
    VocList,
    VocMasks,
)
from transfer.rows import DatasetRow, DenseDataset, LabelledDataset
from twist_common.errors import unknown_name

HELD_OUT = "official train and test; validation images are held out from train"
OFFICIAL = "official train, val and test"

_ROWS: tuple[DatasetRow, ...] = (
    DenseDataset(
        name="voc", title="VOC07+12 detection", in_detectron2_root=True, parts=("VOCdevkit", "VOC2007", "VOC2012"),
        source="PASCAL VOC site",
        layouts=(
            VocBoxes(
                class_names=VOC_CLASSES, num_train=16551, num_test=4952,  # 5,011 + 11,540 images for training
                train=(VocList(2007, "trainval"), VocList(2012, "trainval")), test=(VocList(2007, "test"),),
            ),
        ),
        guide=(
            "unpack VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar and VOCtrainval_11-May-2012.tar from the "
            "PASCAL VOC site, so that {root}/VOCdevkit/VOC2007 and VOC2012 hold Annotations, JPEGImages and ImageSets"
        ),
    ),
    DenseDataset(
        name="seg-voc", title="VOC12 segmentation with SBD", folder="voc", parts=("VOCdevkit",),
        source="PASCAL VOC site; SBD's authors",
        layouts=(
            VocMasks(
                devkit="VOCdevkit/VOC2012", num_classes=21, num_train=10582, num_test=1449,  # 1,464 + 9,118 images
                train=(MaskList("train"), MaskList("aug", "SegmentationClassAug")), test=(MaskList("val"),),
            ),
        ),
        guide=(
            "unpack VOCtrainval_11-May-2012.tar from the PASCAL VOC site into {root}, and SBD's benchmark.tgz from its "
            "authors; MMSegmentation's tools/dataset_converters/voc_aug.py makes SegmentationClassAug/*.png and "
            "ImageSets/Segmentation/aug.txt in {root}/VOCdevkit/VOC2012 from it"
        ),
    ),
    DenseDataset(
        name="coco", title="COCO 2017", in_detectron2_root=True, parts=("coco", "annotations", "train2017", "val2017"),
        source="COCO site",
        # train2017 as published has one box of height 0 in each of two images (cocodataset/cocoapi, issue 355).
        layouts=(CocoBoxes(num_train=118287, num_test=5000, known_empty=(200365, 550395)),),
        guide=(
            "unpack train2017.zip, val2017.zip and annotations_trainval2017.zip from the COCO site, so that {root} "
            "holds train2017, val2017 and annotations"
        ),
    ),
    DenseDataset(
        name="cityscapes", title="Cityscapes, fine annotations", parts=("leftImg8bit", "gtFine"),
        source="Cityscapes site, with an account",
        layouts=(CityscapesMasks(num_train=2975, num_test=500),),
        guide=(
            "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from the Cityscapes site (with an "
            "account) into {root}, then make *_gtFine_labelTrainIds.png with csCreateTrainIdLabelImgs of "
            "cityscapesScripts"
        ),
    ),
    DenseDataset(
        name="ade20k", title="ADE20K, 150 classes", parts=("ADEChallengeData2016",),
        source="`ADEChallengeData2016.zip`, MIT",
        layouts=(AdeMasks(num_train=20210, num_test=2000),),
        guide=(
            "unpack ADEChallengeData2016.zip (MIT's scene parsing benchmark) into {root}, so that "
            "{root}/ADEChallengeData2016 holds images and annotations, each with training and validation"
        ),
    ),
    DenseDataset(
        name="nyu-depth", title="NYUv2, depths", folder="nyu", source="BTS's `sync.zip`; NYU's labelled `.mat`",
        layouts=(DepthLists(num_train=24231, num_test=654, train="nyu_train.txt", test="nyu_test.txt"),),
        guide="unpack BTS's sync.zip into {root}, so that {root}/<scene>/rgb_*.jpg and sync_depth_*.png are there; put "
        "beside them the test folders that BTS's utils/extract_official_train_test_set_from_mat.py makes, and "
        "nyu_train.txt and nyu_test.txt of the Monocular-Depth-Estimation-Toolbox",
    ),
    DenseDataset(
        name="digits", title="the embedded digits as scenes", embedded=True,
        parts=("manifest.json", "VOCdevkit", "coco"), source="`tools/demo_data.sh`",
        layouts=(
            VocBoxes(
                class_names=DIGIT_CLASSES, num_train=200, num_test=100, manifest=("voc/trainval", "voc/test"),
                train=(VocList(2007, "trainval"),), test=(VocList(2007, "test"),), prefix="digits_",
            ),
            VocMasks(
                devkit="VOCdevkit/VOC2007", num_classes=1 + len(DIGIT_CLASSES), num_train=200, num_test=100,
                manifest=("voc/trainval", "voc/test"), train=(MaskList("trainval"),), test=(MaskList("test"),),
            ),
            CocoBoxes(num_train=200, num_test=100, manifest=("coco/train2017", "coco/val2017"), prefix="digits_"),
        ),
        guide="delete {root} and run tools/demo_data.sh",
    ),
    DenseDataset(
        name="own-coco", title="Own boxes and masks in COCO's form", is_own=True,
        source="COCO's JSON, a file for training and one for the test", layouts=(CocoBoxes(num_train=0, num_test=0),),
        guide=(
            "lay the data out as {root}/annotations/instances_{{train,val}}.json with the images in "
            "{root}/{{train,val}}, or name the files with --train-file and --test-file"
        ),
    ),
    DenseDataset(
        name="own-voc", title="Own boxes in VOC's layout", is_own=True,
        source="VOC's XML, a list for training and one for the test",
        layouts=(
            VocBoxes(
                num_train=0, num_test=0, class_names=(), train=(VocList(2012, "trainval", "."),),
                test=(VocList(2012, "test", "."),),
            ),
        ),
        guide=(
            "lay the data out as {root}/Annotations/*.xml, {root}/JPEGImages/* and "
            "{root}/ImageSets/Main/{{trainval,test}}.txt, or name the lists with --train-file and --test-file"
        ),
    ),
    DenseDataset(
        name="own-masks", title="Own masks", is_own=True,
        source="images and masks of ids or colours, in parallel folders",
        layouts=(
            OwnMasks(
                num_train=0, num_test=0, train=MaskFolders("images/train", "masks/train"),
                test=MaskFolders("images/val", "masks/val"),
            ),
        ),
        guide=(
            "lay the data out as {root}/images/{{train,val}} and {root}/masks/{{train,val}}, each mask with the name "
            "of its image, or name lists of images with --train-file and --test-file"
        ),
    ),
    LabelledDataset(
        name="food101", title="Food-101", source="`food-101.tar.gz`, ETH Zurich",
        loader="food101", metric="top1", num_classes=101,
        sizes={"train": 75750, "test": 25250}, official_val=False, val_fraction=0.1, split_rule=HELD_OUT,
        guide=(
            "unpack food-101.tar.gz (ETH Zurich, Bossard et al.) so that {root}/food-101 holds images/<class>/*.jpg "
            "and meta/{{classes,train,test}}.txt"
        ),
    ),
    LabelledDataset(
        name="cifar10", title="CIFAR-10", source="`cifar-10-python.tar.gz` or `-binary`, Toronto",
        loader="cifar", metric="top1", num_classes=10,
        sizes={"train": 50000, "test": 10000}, official_val=False, val_fraction=0.1, split_rule=HELD_OUT,
        guide=(
            "unpack cifar-10-python.tar.gz or cifar-10-binary.tar.gz (University of Toronto, Krizhevsky) so that "
            "{root} holds cifar-10-batches-py or cifar-10-batches-bin"
        ),
    ),
    LabelledDataset(
        name="cifar100", title="CIFAR-100", source="`cifar-100-python.tar.gz` or `-binary`, Toronto",
        loader="cifar", metric="top1", num_classes=100,
        sizes={"train": 50000, "test": 10000}, official_val=False, val_fraction=0.1,
        split_rule=f"{HELD_OUT}; the 100 fine labels",
        guide=(
            "unpack cifar-100-python.tar.gz or cifar-100-binary.tar.gz (University of Toronto, Krizhevsky) so that "
            "{root} holds cifar-100-python or cifar-100-binary"
        ),
    ),
    LabelledDataset(
        name="sun397", title="SUN397", source="`SUN397.tar.gz`, `Partitions.zip`, Princeton or a mirror",
        loader="sun397", metric="top1", num_classes=397,
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
    LabelledDataset(
        name="cars", title="Stanford Cars", source="a mirror: Stanford's links are dead",
        loader="cars", metric="top1", num_classes=196,
        sizes={"train": 8144, "test": 8041}, official_val=False, split_rule=HELD_OUT,
        guide=(
            "Stanford's own links are dead: from a mirror take cars_train.tgz, cars_test.tgz, car_devkit.tgz and "
            "cars_test_annos_withlabels.mat, and lay them out as {root}/stanford_cars/cars_train/*.jpg, "
            "cars_test/*.jpg, devkit/{{cars_meta,cars_train_annos}}.mat and cars_test_annos_withlabels.mat"
        ),
    ),
    LabelledDataset(
        name="aircraft", title="FGVC Aircraft", source="`fgvc-aircraft-2013b.tar.gz`, Oxford VGG",
        loader="aircraft", metric="mean_per_class", num_classes=100,
        sizes={"train": 3334, "val": 3333, "test": 3333}, official_val=True, split_rule=f"{OFFICIAL}; the 100 variants",
        guide=(
            "unpack fgvc-aircraft-2013b.tar.gz (Oxford VGG) so that {root}/fgvc-aircraft-2013b/data holds "
            "images/*.jpg, variants.txt and images_variant_{{train,val,test}}.txt"
        ),
    ),
    LabelledDataset(
        name="voc2007", title="VOC2007 classification", folder="voc", source="PASCAL VOC site",
        parts=("VOCdevkit", "VOC2007", "ImageSets", "JPEGImages"),
        loader="voc2007", metric="map11", num_classes=20,
        sizes={"train": 2501, "val": 2510, "test": 4952}, official_val=True,
        split_rule=f"{OFFICIAL}; an image has several classes, and those marked difficult are not counted",
        guide=(
            "unpack VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar (PASCAL VOC site) so that "
            "{root}/VOCdevkit/VOC2007 holds JPEGImages and ImageSets/Main/<class>_{{train,val,test}}.txt"
        ),
    ),
    LabelledDataset(
        name="dtd", title="DTD", source="`dtd-r1.0.1.tar.gz`, Oxford VGG",
        loader="dtd", metric="top1", num_classes=47,
        sizes={"train": 1880, "val": 1880, "test": 1880}, official_val=True,
        split_rule="the first of ten official splits, each with train, val and test",
        guide=(
            "unpack dtd-r1.0.1.tar.gz (Oxford VGG) so that {root}/dtd holds images/<class>/*.jpg and "
            "labels/{{train,val,test}}1.txt"
        ),
    ),
    LabelledDataset(
        name="pets", title="Oxford-IIIT Pets", source="`images.tar.gz`, `annotations.tar.gz`, Oxford VGG",
        loader="pets", metric="mean_per_class", num_classes=37,
        sizes={"train": 3680, "test": 3669}, official_val=False,
        split_rule="official trainval and test; validation images are held out from trainval",
        guide=(
            "unpack images.tar.gz and annotations.tar.gz (Oxford VGG) so that {root}/oxford-iiit-pet holds "
            "images/*.jpg and annotations/{{trainval,test}}.txt"
        ),
    ),
    LabelledDataset(
        name="caltech101", title="Caltech-101", source="`caltech-101.zip`, Caltech's data repository",
        loader="caltech101", metric="mean_per_class", num_classes=102,
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
    LabelledDataset(
        name="flowers102", title="Flowers-102", source="`102flowers.tgz`, `imagelabels.mat`, `setid.mat`, Oxford VGG",
        loader="flowers102", metric="mean_per_class", num_classes=102,
        sizes={"train": 1020, "val": 1020, "test": 6149}, official_val=True, split_rule=OFFICIAL,
        guide=(
            "unpack 102flowers.tgz (Oxford VGG) and put imagelabels.mat and setid.mat beside it, so that "
            "{root}/flowers-102 holds jpg/*.jpg and both files"
        ),
    ),
    LabelledDataset(
        name="imagenet", title="ImageNet", image_size=224, source="ImageNet site, with an account",
        loader="image_folder", metric="top1", num_classes=1000,
        sizes={"train": 1281167, "test": 50000}, official_val=False, test_split="val",
        split_rule="val is the test set, as everywhere; validation images are held out from train",
        guide=(
            "put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz (ImageNet site, "
            "with an account) into {root}; in Python torchvision.datasets.ImageNet('{root}', 'train') and the same "
            "with 'val' unpack and sort them into {root}/{{train,val}}/<class>/"
        ),
    ),
    LabelledDataset(
        name="cls-digits", title="the embedded digits", folder="digits", parts=("imagefolder",), embedded=True,
        image_size=28, source="`tools/demo_data.sh`",
        loader="image_folder", metric="top1", num_classes=10,
        sizes={"train": 4000, "test": 1000}, official_val=False, test_split="val",
        split_rule="val is the test set; validation images are held out from train",
        guide="delete {root} and run tools/demo_data.sh, or give another --data",
    ),
    LabelledDataset(
        name="folder", title="Own images", is_own=True, source="`train/<class>/*` and `val/<class>/*`",
        loader="image_folder", metric="top1", num_classes=0,
        sizes={}, official_val=False, test_split="val",
        split_rule="val is the test set; validation images are held out from train",
        guide="lay the images out as {root}/train/<class>/* and {root}/val/<class>/*, with the same classes in both",
    ),
)  # fmt: skip

DATASETS: dict[str, DatasetRow] = {row.name: row for row in _ROWS}


def get(name: str) -> DatasetRow:
    """The data set of this name.

    Raises:
        UserError: there is none.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]
