"""Pre-training on images as people have them: what is left out or there twice is said before anything is trained."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import twist_configs.pretrain
from pretrain.data.dataset import TwistDataset
from pretrain.data.images import UnreadableImageError, decode
from pretrain.data.listing import count_images
from tools.bench.photographs import jpeg, photograph
from twist_common import overrides
from twist_common.errors import UserError
from twist_common.shards import INDEX_NAME

CONTENTS = [jpeg(photograph(index, 24, 32)) for index in range(6)]
MEMBERS = [(f"{index:03}.jpg", content) for index, content in enumerate(CONTENTS)]
NAMES = [f"img/{name}" for name, _ in MEMBERS]


def pack(
    path: Path, members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, encoding: str = "utf-8"
) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form, encoding=encoding) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def hole(root: Path) -> None:
    content = pack(root / "0.tar", MEMBERS)
    with tarfile.open(root / "0.tar") as archive:
        start = archive.getmembers()[3].offset
    (root / "0.tar").write_bytes(content[:start] + bytes(1024) + content[start + 1024 :])


def joined(root: Path) -> None:
    (root / "0.tar").write_bytes(pack(root / "0.tar", MEMBERS[:3]) + pack(root / "0.tar", MEMBERS[3:]))


def archive_within(root: Path) -> None:
    pack(root / "0.tar", [*MEMBERS, ("more.tar", pack(root / "0.tar", MEMBERS))])


def links(kind: bytes) -> Callable[[Path], None]:
    def arrange(root: Path) -> None:
        pack(root / "0.tar", MEMBERS)
        with tarfile.open(root / "0.tar", "a") as archive:
            link = tarfile.TarInfo("zz.jpg")
            link.type, link.linkname = kind, "000.jpg"
            archive.addfile(link)

    return arrange


def images_beside(root: Path) -> None:
    pack(root / "0.tar", MEMBERS)
    (root / "a.jpg").write_bytes(CONTENTS[0])


def dangling(root: Path) -> None:
    pack(root / "0.tar", MEMBERS)
    (root / "1.tar").symlink_to(root / "gone.tar")


@pytest.mark.parametrize(
    ("arrange", "says"),
    [
        (hole, r"0\.tar is damaged \(more follows behind its end"),
        (joined, r"0\.tar is damaged \(more follows behind its end"),
        (archive_within, r"has the archive more\.tar: unpack both"),
        (links(tarfile.SYMTYPE), r"a link in the place of zz\.jpg: write it again with tar --dereference"),
        (links(tarfile.LNKTYPE), r"a link in the place of zz\.jpg"),
        (images_beside, r"has both shards \(0\.tar\) and images \(a\.jpg\): keep one of them"),
        (dangling, r"the shard .*1\.tar is a link to nothing"),
        (lambda root: pack(root / "0.tar", [*MEMBERS, MEMBERS[0]]), r"holds 000 at two places"),
        (lambda root: pack(root / "0.tar", [*MEMBERS, ("000.cls", b"1")]), r"holds 000 at two places"),
        (lambda root: pack(root / "0.tar", [*MEMBERS, ("a.b.jpg", CONTENTS[0])]), r"the image a\.b\.jpg, whose kind"),
        (
            lambda root: pack(root / "0.tar", [("caf\xe9.jpg", CONTENTS[0])], tarfile.GNU_FORMAT, "latin-1"),
            r"'caf.*jpg', whose name is not UTF-8",
        ),
        (lambda root: pack(root / "part/0.tar", MEMBERS), r"holds no images \(it holds 1 × \.tar\): the layout is"),
        (lambda root: (root / "a.heic").write_bytes(b""), r"holds no images \(it holds 1 × \.heic\)"),
    ],
)
def test_what_shards_and_folders_would_leave_out_is_named(
    arrange: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    arrange(tmp_path)
    with pytest.raises(UserError, match=says):
        count_images(tmp_path)


def test_images_of_all_kinds_count_and_an_index_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    pack(tmp_path / "0.tar", [*MEMBERS, ("t.TIF", CONTENTS[0]), ("._x.jpg", b"\0"), ("./d/000.jpg", CONTENTS[0])])
    for content in (b"PK\x03\x04half", b"half", None):
        assert count_images(tmp_path) == 8
        if content is not None:
            (tmp_path / INDEX_NAME).write_bytes(content)


def test_a_run_says_how_many_images_it_has_and_which_are_left_out(tmp_path: Path) -> None:
    for index, name in enumerate(("a/0.jpg", "a/1.JPG", "a/2.heic", "b/3.jpg", "b/4.jfif", "b/5.JFIF", "b/notes.txt")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENTS[index % len(CONTENTS)])
    recipe = overrides.apply(twist_configs.pretrain.get("rn50"), ["data.batch_size=2"])
    assert TwistDataset(tmp_path, recipe).summary() == (
        f"images: 3 in {tmp_path}, 2 classes; left out, because their format is not read: 2 .jfif, 1 .heic "
        "(save them as JPEG or PNG)"
    )
    pack(tmp_path / "shards" / "0.tar", MEMBERS)
    whole = TwistDataset(tmp_path / "shards", recipe).summary()
    assert whole == f"images: 6 in {tmp_path / 'shards'}, not sorted into classes, 1 shard"


def test_masks_beside_images_are_not_trained_on(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(CONTENTS[0])
    with pytest.raises(UserError, match=r"has masks/ beside images/, which are masks: give --data .*/images$"):
        count_images(tmp_path)
    assert count_images(tmp_path / "images") == 1


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "img").mkdir()
    for name, content in MEMBERS:
        (tmp_path / "img" / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("form", ["{}", "{} 3", "{}\t-1", "{},0", "./{}"])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_lists_may_have_labels_and_windows_separators(form: str, separator: str, home: Path) -> None:
    lines = [form.format(name).replace("/", separator) for name in NAMES]
    (home / "list.txt").write_text("\r\n".join(lines), encoding="utf-8-sig")
    assert count_images(home / "list.txt") == len(NAMES)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*NAMES, "img/gone.jpg"], r"lists 'img/gone\.jpg', which is not in .*: write paths relative"),
        ([*NAMES, NAMES[2]], r"lists img/002\.jpg 2 times: list each image once"),
        ([*NAMES, f"./{NAMES[2]}"], r"lists img/002\.jpg 2 times"),
        ([r"C:\photos\a.jpg"], r"which is not in .*: write paths relative to the list"),
    ],
)
def test_what_a_list_says_wrongly_is_named(lines: list[str], says: str, home: Path) -> None:
    (home / "list.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=says):
        count_images(home / "list.txt")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.jpg"])
def test_an_archive_or_an_image_is_no_list(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"is no list: give the folder"):
        count_images(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or a video"),
    ],
)
def test_what_a_file_is_that_is_no_image_is_said(content: bytes, says: str) -> None:
    with pytest.raises(UnreadableImageError, match=says):
        decode(content)
    file = io.BytesIO()
    Image.new("CMYK", (1, 1)).save(file, "JPEG")
    assert decode(file.getvalue()).shape == (1, 1, 3)
