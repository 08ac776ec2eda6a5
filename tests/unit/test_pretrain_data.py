"""Views and order are pure functions of seed, epoch and index; bad data is the user's error."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import configs.pretrain
from common import overrides
from common.errors import UserError
from pretrain.data import TrainingOrder, TwistDataset
from pretrain.recipe import Recipe

CROPS = ["crops.global_size=32", "crops.num_local=2", "crops.local_size=16", "data.batch_size=4"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for index in range(8):
        folder = tmp_path / "train" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.byte().numpy()).convert("RGB").save(folder / f"{index}.png")
    return tmp_path


def recipe(name: str, *changes: str) -> Recipe:
    return overrides.apply(configs.pretrain.get(name), [*CROPS, *changes])


@pytest.mark.parametrize("name", ["demo", "rn50"])
def test_views_depend_on_seed_epoch_and_index_alone(images: Path, name: str) -> None:
    dataset = TwistDataset(images, recipe(name))
    views, labels = dataset.__getitems__([(3, 0), (3, 5)])
    assert [tuple(view.shape) for view in views] == [(2, 3, 32, 32)] * 2 + [(2, 3, 16, 16)] * 2
    assert labels.tolist() == [0, 1]
    torch.manual_seed(99)  # whatever else was drawn, and whatever company an image is in
    again, _ = dataset.__getitems__([(3, 5)])
    assert all(torch.equal(view[1], alone[0]) for view, alone in zip(views, again, strict=True))
    later, _ = dataset.__getitems__([(4, 5)])
    other_seed, _ = TwistDataset(images, recipe(name, "seed=1")).__getitems__([(3, 5)])
    assert not torch.equal(later[0], again[0]) and not torch.equal(other_seed[0], again[0])
    assert not torch.equal(again[0], again[1])


def test_making_photograph_views_leaves_the_global_generator_alone(images: Path) -> None:
    dataset = TwistDataset(images, recipe("rn50"))
    before = torch.get_rng_state()
    dataset.__getitems__([(0, 0)])
    assert torch.equal(torch.get_rng_state(), before)


def test_digits_beyond_the_image_edge_are_black(images: Path) -> None:
    zoomed_out = recipe("demo", "crops.global_scale=4,4", "augmentation.rotation_degrees=0")
    views, _ = TwistDataset(images, zoomed_out).__getitems__([(0, 0)])
    black = views[0].amin(dim=(2, 3), keepdim=True)
    share = (views[0] == black).all(dim=1).float().mean()
    assert 0.6 < share < 0.8  # the image fills a quarter of the view


def test_second_global_view_of_photographs_is_the_only_one_solarized(images: Path) -> None:
    plain = [f"augmentation.{key}=0" for key in ("flip", "jitter", "gray")]
    dark = Image.new("RGB", (28, 28), (200, 200, 200))  # solarize turns 200 into 55
    for path in images.rglob("*.png"):
        dark.save(path)
    sure = recipe("rn50", *plain, "augmentation.blur=0,0,0", "augmentation.solarize=0,1,0")
    views, _ = TwistDataset(images, sure).__getitems__([(0, 0)])
    levels = [round((view[0, 0, 0, 0].item() * 0.229 + 0.485) * 255) for view in views]
    assert levels == [200, 55, 200, 200]


def test_order_is_the_same_for_any_number_of_processes_and_any_start() -> None:
    settings = recipe("demo", "epochs=3")
    whole = list(TrainingOrder(settings, 11))
    assert len(whole) == len(TrainingOrder(settings, 11)) == 6
    assert len({key for batch in whole for key in batch}) == 24  # no image twice in an epoch
    assert list(TrainingOrder(settings, 11, first_epoch=2)) == whole[4:]
    shares = [list(TrainingOrder(settings, 11, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole
    epochs = [[index for batch in whole[2 * e : 2 * e + 2] for _, index in batch] for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 3"):
        TrainingOrder(recipe("demo"), 11, world_size=3)


def test_missing_empty_and_damaged_data_are_the_users_errors(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data at"):
        TwistDataset(tmp_path / "nowhere", recipe("demo"))
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="no class folders"):
        TwistDataset(tmp_path / "empty", recipe("demo"))
    with pytest.raises(UserError, match="fewer than one batch of 9"):
        TwistDataset(images, recipe("demo", "data.batch_size=9"))
    damaged = images / "train" / "1" / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(UserError, match=r"cannot read the image .*7\.png"):
        TwistDataset(images, recipe("demo"))
    with pytest.raises(UserError, match=r"cannot read the image .*7\.png"):
        TwistDataset(images, recipe("rn50")).__getitems__([(0, 7)])
    Image.new("RGB", (20, 28)).save(damaged)
    with pytest.raises(UserError, match="20x28"):
        TwistDataset(images, recipe("demo"))
