"""Views and order are pure functions of seed, epoch and index; bad data is the user's error."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import twist_configs.pretrain
from pretrain.data.dataset import Batch, TwistDataset, load_steps
from pretrain.data.images import UnreadableImageError, decode
from pretrain.data.listing import count_images
from pretrain.data.order import WINDOW_SHARDS, TrainingOrder
from pretrain.recipe import Recipe
from tools.bench.photographs import jpeg, photograph
from twist_common import overrides
from twist_common.errors import UserError
from twist_common.names import PackedNames

SMALL = [
    "crops.global_size=32",
    "crops.num_local=2",
    "crops.local_size=16",
    "data.batch_size=4",
    "self_labeling.epochs=0",
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in range(8):
        folder = tmp_path / "train" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.byte().numpy()).convert("RGB").save(folder / f"{index}.png")
    return tmp_path


def recipe(name: str, *changes: str) -> Recipe:
    return overrides.apply(twist_configs.pretrain.get(name), [*SMALL, *changes])


def some_images(count: int, shard_sizes: list[int] | None = None) -> Any:
    return type("Images", (SimpleNamespace,), {"__len__": lambda self: count})(shard_sizes=shard_sizes)


@pytest.mark.parametrize(("name", "dtype"), [("demo", torch.float32), ("rn50", torch.uint8)])
def test_views_depend_on_seed_epoch_and_index_alone(images: Path, name: str, dtype: torch.dtype) -> None:
    dataset = TwistDataset(images, recipe(name))
    views, labels, seeds, unreadable = dataset.__getitems__([(3, 0), (3, 5)])
    assert [tuple(view.shape) for view in views] == [(2, 3, 32, 32)] * 2 + [(2, 3, 16, 16)] * 2
    assert {view.dtype for view in views} == {dtype}
    assert labels.tolist() == [0, 1] and len(set(seeds.tolist())) == 2 and unreadable == ()
    torch.manual_seed(99)  # whatever else was drawn, and whatever company an image is in
    again = dataset.__getitems__([(3, 5)]).views
    assert all(torch.equal(view[1], alone[0]) for view, alone in zip(views, again, strict=True))
    later = dataset.__getitems__([(4, 5)]).views
    other_seed = TwistDataset(images, recipe(name, "seed=1")).__getitems__([(3, 5)]).views
    assert not torch.equal(later[0], again[0]) and not torch.equal(other_seed[0], again[0])
    assert not torch.equal(again[0], again[1])


def test_making_photograph_views_leaves_the_global_generator_alone(images: Path) -> None:
    dataset = TwistDataset(images, recipe("rn50"))
    before = torch.get_rng_state()
    dataset.__getitems__([(0, 0)])
    assert torch.equal(torch.get_rng_state(), before)


def test_digits_beyond_the_image_edge_are_black(images: Path) -> None:
    zoomed_out = recipe("demo", "crops.global_scale=4,4", "augmentation.rotation_degrees=0")
    view = TwistDataset(images, zoomed_out).__getitems__([(0, 0)]).views[0]
    black = view.amin(dim=(2, 3), keepdim=True)
    share = (view == black).all(dim=1).float().mean()
    assert 0.6 < share < 0.8  # the image fills a quarter of the view


def test_second_global_view_of_photographs_is_the_only_one_solarized(images: Path) -> None:
    plain = [f"augmentation.{key}=0" for key in ("flip", "jitter", "gray")]
    bright = Image.new("RGB", (28, 28), (200, 200, 200))  # solarize turns 200 into 55
    for path in images.rglob("*.png"):
        bright.save(path)
    sure = recipe("rn50", *plain, "augmentation.blur=0,0,0", "augmentation.solarize=0,1,0")
    views = TwistDataset(images, sure).__getitems__([(0, 0)]).views
    assert [view.unique().tolist() for view in views] == [[200], [55], [200], [200]]


def test_flipped_view_is_the_mirror_image(images: Path) -> None:
    off = ["augmentation.jitter=0", "augmentation.gray=0", "augmentation.blur=0,0,0", "augmentation.solarize=0,0,0"]
    never, always = (TwistDataset(images, recipe("rn50", *off, f"augmentation.flip={share}")) for share in (0, 1))
    for view, mirrored in zip(*(data.__getitems__([(0, 0)]).views for data in (never, always)), strict=True):
        assert torch.equal(view.flip(3), mirrored) and not torch.equal(view, mirrored)


def test_epochs_of_the_self_labeling_stage_are_cropped_harder(images: Path) -> None:
    """The official code forgets this when it is resumed after the switch: the crops must follow from the epoch."""
    stage = ["epochs=2", "self_labeling.epochs=2", "self_labeling.global_scale=0.3,0.3", "augmentation.flip=0"]
    off = ["augmentation.jitter=0", "augmentation.gray=0", "augmentation.blur=0,0,0", "augmentation.solarize=0,0,0"]
    easy = TwistDataset(images, recipe("rn50", *stage, *off, "crops.global_scale=0.9,0.9"))
    same = TwistDataset(images, recipe("rn50", *stage, *off, "crops.global_scale=0.3,0.3"))
    first, second = ([dataset.__getitems__([(epoch, 0)]).views[0] for dataset in (easy, same)] for epoch in (1, 2))
    assert not torch.equal(*first)
    assert torch.equal(*second)


def test_order_is_the_same_for_any_number_of_processes_and_any_start() -> None:
    settings = recipe("demo", "epochs=2", "self_labeling.epochs=1")
    whole = list(TrainingOrder(settings, some_images(11)))
    assert len(whole) == len(TrainingOrder(settings, some_images(11))) == 6
    assert len({key for batch in whole for key in batch}) == 24  # no image twice in an epoch
    for step in (4, 3, 1, 5):
        late = TrainingOrder(settings, some_images(11), step=step)
        assert list(late) == whole[step:] and len(late) == len(list(late))
    shares = [list(TrainingOrder(settings, some_images(11), rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole
    epochs = [[index for batch in whole[2 * e : 2 * e + 2] for _, index in batch] for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_accumulated_parts_of_all_processes_are_the_steps_batch_in_order() -> None:
    plain = recipe("demo", "epochs=2", "data.batch_size=12")
    in_parts = recipe("demo", "epochs=2", "data.batch_size=12", "data.accumulation=3")
    whole = list(TrainingOrder(plain, some_images(30)))
    shares = [list(TrainingOrder(in_parts, some_images(30), rank=rank, world_size=2)) for rank in (0, 1)]
    parts = [a + b for a, b in zip(*shares, strict=True)]
    assert [a + b + c for a, b, c in zip(parts[::3], parts[1::3], parts[2::3], strict=True)] == whole
    late = TrainingOrder(in_parts, some_images(30), step=3, world_size=2)
    assert list(late) == shares[0][9:] and len(late) == 3


def test_order_of_many_shards_mixes_a_few_of_them_at_a_time() -> None:
    sizes = [3 + shard % 4 for shard in range(2 * WINDOW_SHARDS + 5)]
    starts = torch.tensor(sizes).cumsum(0) - torch.tensor(sizes)
    settings = recipe("demo", "epochs=2", "data.batch_size=1")
    keys = [key for batch in TrainingOrder(settings, some_images(sum(sizes), sizes)) for key in batch]
    orders = [[index for epoch, index in keys if epoch == wanted] for wanted in (0, 1)]
    assert [sorted(order) for order in orders] == [list(range(sum(sizes)))] * 2 and orders[0] != orders[1]
    shards = torch.searchsorted(starts, torch.tensor(orders[0]), right=True) - 1
    first, last = ({*part.tolist()} for part in (shards[: 3 * WINDOW_SHARDS], shards[6 * WINDOW_SHARDS :]))
    assert len({*shards[:WINDOW_SHARDS].tolist()}) > WINDOW_SHARDS / 2  # not one shard after the other
    assert len(first) <= WINDOW_SHARDS and not first & last


def test_batch_that_processes_or_parts_cannot_share_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 3"):
        TrainingOrder(recipe("demo"), some_images(11), world_size=3)
    with pytest.raises(UserError, match=r"4 accumulated parts and 2 processes.* multiple of 8"):
        TrainingOrder(recipe("demo", "data.accumulation=4"), some_images(11), world_size=2)


def test_missing_empty_and_damaged_data_are_the_users_errors(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data at"):
        TwistDataset(tmp_path / "nowhere", recipe("demo"))
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no images: the layout is"):
        TwistDataset(tmp_path / "empty", recipe("demo"))
    with pytest.raises(UserError, match=r"fewer than one batch of 9: .* or take the recipe small"):
        TwistDataset(images, recipe("demo", "data.batch_size=9"))
    with pytest.raises(UserError, match=r"add images or lower data\.batch_size$"):
        TwistDataset(images, recipe("small", "data.batch_size=9"))
    damaged = images / "train" / "1" / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(UserError, match=r"cannot read the image .*7\.png"):
        TwistDataset(images, recipe("demo"))
    with pytest.raises(UserError, match=r"cannot read the image .*7\.png"):
        TwistDataset(images, recipe("rn50")).__getitems__([(0, 7)])
    Image.new("RGB", (20, 28)).save(damaged)
    with pytest.raises(UserError, match="20x28"):
        TwistDataset(images, recipe("demo"))


def test_class_folder_without_images_is_named(images: Path) -> None:
    (images / "train" / "2").mkdir()
    (images / "train" / "2" / "notes.txt").write_text("later")
    with pytest.raises(UserError, match=r"train/2 holds no image: remove the folder or fill it"):
        TwistDataset(images, recipe("rn50"))
    (images / "train" / "3").mkdir()
    with pytest.raises(UserError, match=r"train/2 holds no image, nor do 1 other class folders"):
        TwistDataset(images, recipe("rn50"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"no image", "no image"), (jpeg(photograph(0, 40, 60))[:1500], "truncated")],
)
def test_unreadable_file_is_found_whatever_is_wrong_with_it(content: bytes, reason: str, images: Path) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content)
    path = images / "train" / "0" / "0.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"0\.jpg .*{reason}.*data.unreadable=skip"):
        TwistDataset(images, recipe("rn50")).__getitems__([(0, 0)])


@pytest.mark.parametrize("name", ["demo", "rn50"])
def test_skipped_image_is_replaced_by_the_next_of_the_batch_and_named(images: Path, name: str) -> None:
    bad, gone = sorted(images.rglob("*.png"))[1], sorted(images.rglob("*.png"))[7]
    bad.write_bytes(b"no image")
    skip = recipe(name, "data.unreadable=skip")
    dataset = TwistDataset(images, skip)
    if name == "rn50":  # listed, then lost; the demo's images are in memory by now
        gone.unlink()
    batch = dataset.__getitems__([(0, 6), (0, 1), (0, 3), (0, 7)])
    names = [str(bad), str(gone)] if name == "rn50" else [str(bad)]
    assert list(batch.unreadable) == names
    assert batch.labels.tolist() == [1, 0, 0, 1]  # of 6, 3, 3, and, for what was lost, again 6
    as_is = dataset.__getitems__([(0, 6), (0, 3)])
    assert torch.equal(batch.views[0][0], as_is.views[0][0]) and torch.equal(batch.views[0][2], as_is.views[0][1])
    assert not torch.equal(batch.views[0][1], batch.views[0][2])  # the same image in views of its own
    with pytest.raises(UserError, match=r"none of the 1 images of a batch can be read, .*png among them"):
        dataset.__getitems__([(0, 1)])


def test_jpeg_is_decoded_as_pil_does_without_turning_it() -> None:
    image = photograph(1, 50, 70)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    for options in ({}, {"progressive": True}, {"exif": turned}):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90, **options)
        with Image.open(file) as opened:
            expected = torch.tensor([*opened.convert("RGB").tobytes()])
        got = decode(file.getvalue())
        assert got.shape == (50, 70, 3) and got.flags.c_contiguous
        assert torch.equal(torch.from_numpy(got).flatten(), expected)


def test_packed_names_are_the_names() -> None:
    names = ["0/a.png", "", "1/größer.png", "1/b b.png"]
    packed = PackedNames(names)
    assert list(packed) == names == [packed[index] for index in range(len(packed))]
    assert packed.sha256() != PackedNames(names[::-1]).sha256()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_gives_the_same_batches_with_any_number_of_processes(images: Path, num_workers: int) -> None:
    settings = recipe("rn50", "epochs=2", "data.accumulation=2", f"run.num_workers={num_workers}")
    dataset = TwistDataset(images, settings)
    order = TrainingOrder(settings, dataset, step=1)
    batches = [batch for parts in load_steps(settings, dataset, order, pin_memory=False) for batch in parts]
    assert len(batches) == len(order) == 6
    for batch, keys in zip(batches, order, strict=True):
        expected = dataset.__getitems__(keys)
        assert isinstance(batch, Batch) and batch.unreadable == ()
        assert all(torch.equal(a, b) for a, b in zip(batch.views, expected.views, strict=True))
        assert torch.equal(batch.labels, expected.labels) and torch.equal(batch.seeds, expected.seeds)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_image_in_a_loading_process_is_one_sentence(images: Path, num_workers: int) -> None:
    settings = recipe("rn50", f"run.num_workers={num_workers}")
    dataset = TwistDataset(images, settings)
    for path in images.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"^cannot read the image \S+ \(it is empty\): [^\n]*$"):
        next(iter(load_steps(settings, dataset, TrainingOrder(settings, dataset), pin_memory=False)))


def loose(images: Path) -> Path:
    (images / "train/0/0.png").rename(images / "train/0.png")
    return images


def tree(images: Path) -> Path:
    (images / "train").rename(images / "2023")
    (images / "2023/1").rename(images / "2023/holidays")
    return images


def listed(images: Path) -> Path:
    (images / "mine.txt").write_text("\n".join(f"train/{index % 2}/{index}.png" for index in range(8)) + "\n")
    return images / "mine.txt"


@pytest.mark.parametrize("arrange", [loose, tree, listed])
def test_unlabelled_images_are_found_in_any_folders_and_in_a_list(arrange: Any, images: Path) -> None:
    place = arrange(images)
    dataset = TwistDataset(place, recipe("rn50"))
    assert (len(dataset), dataset.num_labels, count_images(place)) == (8, 1, 8)
    assert len(dataset.__getitems__([(0, 0), (0, 7)]).views[0]) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "lists no image"), ("9.png", "write paths relative to the list"), ("\0\xff", "each line")],
)
def test_a_list_of_nothing_is_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=says):
        count_images(tmp_path / "list.txt")
