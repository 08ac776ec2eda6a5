"""Which files are images, and what their pixels are."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from twist_common.errors import UserError
from twist_common.images import ORIENTATION, class_folders, files_below, images_below, is_turned, rgb


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    names = [
        "cat/1.png",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
        "cat/._1.png",
        ".ipynb_checkpoints/2.png",
        "dog/3.JPG",
        "__MACOSX/cat/._1.png",
        "dog/@eaDir/3.JPG/SYNOPHOTO_THUMB_M.jpg",
    ]
    touch(*(tmp_path / name for name in [*names, "cat/Thumbs.db", "cat/.DS_Store", "dog/4.jfif"]))
    assert class_folders(tmp_path) == ["cat", "dog"]
    assert images_below(tmp_path) == ["cat/1.png", "dog/3.JPG"]
    assert files_below(tmp_path) == ["cat/1.png", "cat/Thumbs.db", "dog/3.JPG", "dog/4.jfif"]


def test_loops_of_links_end_and_nothing_is_found_twice(tmp_path: Path) -> None:
    touch(tmp_path / "a/1.png", tmp_path / "b/2.png")
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "c").symlink_to(tmp_path / "b", target_is_directory=True)
    assert [Path(name).name for name in images_below(tmp_path)] == ["1.png", "2.png"]
    assert images_below(tmp_path / "a") == ["1.png"], "what holds the folder is not in it"


def test_the_order_is_that_of_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    touch(
        *(
            tmp_path / name
            for name in (
                "b/2.png",
                "b/10.png",
                "b/sub/1.png",
                "b/sub/x/4.png",
                "b/sub-1/3.png",
                "a b/1.png",
                "B/z.webp",
            )
        )
    )
    paths = [Path(path).relative_to(tmp_path).as_posix() for path, _ in ImageFolder(str(tmp_path)).samples]
    assert [f"{name}/{image}" for name in class_folders(tmp_path) for image in images_below(tmp_path / name)] == paths


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")  # noqa: PTH102 - bytes
    with pytest.raises(UserError, match=r"holds b'caf\\xe9', whose name is not UTF-8: rename it"):
        class_folders(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_sixteen_bits_the_upper_eight_are_kept_as_opencv_does(suffix: str, tmp_path: Path) -> None:
    deep = (np.arange(60 * 50, dtype=np.uint32).reshape(60, 50) * 21).astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(deep).save(path)
    with Image.open(path) as image:
        read = np.asarray(rgb(image))
    assert np.array_equal(read[..., 0], deep >> 8)
    assert np.array_equal(read, cv2.imread(str(path), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_thirty_two_bits_are_refused_by_name(dtype: type, tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "image.tif")
    with Image.open(tmp_path / "image.tif") as image, pytest.raises(ValueError, match="32 bits: save it with 8"):
        rgb(image)


def test_the_camera_is_found_to_have_turned_an_image_by_exif_or_xmp(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    image = Image.new("RGB", (8, 8))
    image.save(tmp_path / "plain.jpg")
    image.save(tmp_path / "exif.jpg", exif=exif)
    image.save(tmp_path / "xmp.jpg", xmp=xmp)
    image.save(tmp_path / "exif.png", exif=exif)
    image.save(tmp_path / "exif.tif", exif=exif)
    turned = []
    for path in sorted(tmp_path.iterdir()):
        with Image.open(path) as opened:
            turned += [path.name] if is_turned(opened) else []
    assert turned == ["exif.jpg", "exif.png", "exif.tif", "xmp.jpg"]
