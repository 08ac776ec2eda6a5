"""What training codes keep of their settings in a checkpoint: the network's name, and how images were scaled.

OpenMMLab's keep their config as text, timm's ``train.py`` and its likes their arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from transfer.weights.backbone.architecture import canonical, expected_shapes, has_batch_norm, names
from transfer.weights.backbone.timm_network import is_timm
from transfer.weights.backbone.types import IMAGENET, Checkpoint, Preprocessing, preprocessing_of
from transfer.weights.backbone.unpickle import Foreign
from twist_common.errors import UserError

# mmengine/runner/runner.py: save_checkpoint writes meta.cfg; mmcv/runner/checkpoint.py of 1.x: meta.config
TEXTS = ("cfg", "config")
SAME_HEADS = {  # timm's names of our ViTs, for codes that are built on timm
    **dict.fromkeys(("vit_small_patch16_224", "deit_small_patch16_224"), "deit_small"),
    **dict.fromkeys(("vit_base_patch16_224", "deit_base_patch16_224"), "vit_base"),
}
NAME = re.compile(r"[\w.-]+")
# entries in which codes keep their settings: argparse's, torchvision's and MoCo's, Lightning's, and others' dicts
SETTINGS = ("args", "opt", "config", "cfg", "hparams", "hyper_parameters", "datamodule_hyper_parameters")
MEAN_AND_STD = tuple((f"{what}mean", f"{what}std") for what in ("", "image_", "img_", "pixel_", "normalize_"))
MAX_DEPTH = 6
STYLE = re.compile(r"\bstyle\s*=\s*['\"](\w+)['\"]")
DILATIONS = re.compile(r"\bdilations\s*=\s*[\[(]([\d,\s]+)[\])]")
ORDER = re.compile(r"\b(?:bgr_to_rgb|to_rgb)\s*=\s*(True|False)")
SCALING = {name: re.compile(rf"\b{name}\s*=\s*[\[(]([\d.,\s]+)[\])]") for name in ("mean", "std")}


def named_inside(checkpoint: Checkpoint) -> str | None:
    """The network that a training's own settings name, here or in timm; None where they name none that is known."""
    args = _args(checkpoint)
    given = (checkpoint.get("arch"), args.get("model"), args.get("arch"))
    name = next((each for each in given if isinstance(each, str) and NAME.fullmatch(each)), None)
    if name is None or not (name in names() or is_timm(name)):
        return None
    return SAME_HEADS.get(name.partition(".")[0]) or canonical(name)


def refuse_other_name(checkpoint: Checkpoint, found: str, where: str) -> None:
    """Raises :class:`UserError` where the name that a training gave is of another network with the same tensors."""
    name = named_inside(checkpoint)
    if name is None or name in (found, *names()):
        return
    same = False
    with contextlib.suppress(UserError):  # of a network of timm's that has no maps
        same = expected_shapes(name) == expected_shapes(found)
    if same:
        raise UserError(
            f"{where} says that it is timm's {name}, whose tensors have the same names and shapes as a {found}'s: give "
            f"--arch {name}, or --arch {found} if it is that"
        )


def refuse_bgr(checkpoint: Checkpoint, where: str) -> None:
    """Raises :class:`UserError` where images were BGR, which no framework here feeds."""
    if set(ORDER.findall(_text(checkpoint))) == {"False"}:
        raise UserError(
            f"{where} was fed BGR images, as its config says (to_rgb=False), which no framework here does: turn the "
            f"input channels of its first convolution round, weight[:, [2, 1, 0]], torch.save the state dict without "
            f"the config, and give --mean and --std in the order of RGB"
        )


def refuse_other_blocks(checkpoint: Checkpoint, found: str, where: str) -> None:
    """Raises :class:`UserError` where OpenMMLab's config says of a ResNet's blocks what no tensor shows.

    That is the stride in the 1x1 convolution (``style="caffe"``) and ``dilations``
    (github.com/open-mmlab/mmpretrain: models/backbones/resnet.py; mmseg's and mmdet's are alike).
    """
    text = _text(checkpoint)
    if has_batch_norm(found) and "caffe" in STYLE.findall(text):
        raise UserError(
            f"{where} has the stride of its blocks in their 1x1 convolutions, as its config says (style='caffe'), and "
            f"every framework here in the 3x3: give a checkpoint of style='pytorch'"
        )
    dilated = [each for each in DILATIONS.findall(text) if set(re.findall(r"\d+", each)) != {"1"}]
    if has_batch_norm(found) and dilated:
        raise UserError(
            f"{where} was trained with dilated convolutions, as its config says (dilations=({dilated[0].strip()})), "
            f"and a {found} has none: give the checkpoint from before the segmentation was trained"
        )


def preprocessing_in(checkpoint: Checkpoint, where: str) -> Preprocessing | None:
    """What the config, the arguments or the hyper-parameters say; None where none does.

    Raises:
        UserError: they name several means or deviations, some that cannot be read, or some that no image can be
            scaled by.
    """
    text = _text(checkpoint)
    found = {name: {_numbers(each) for each in pattern.findall(text)} for name, pattern in SCALING.items()}
    means: set[tuple[float, ...]] = {values for values in found["mean"] if len(values) == 3}
    stds: set[tuple[float, ...]] = {values for values in found["std"] if len(values) == 3}
    places = [checkpoint, *(checkpoint[name] for name in SETTINGS if name in checkpoint)]
    for mean, std in [pair for place in places for pair in _scalings(place, nested=place is not checkpoint)]:
        if _is_unread(mean) or _is_unread(std):
            raise UserError(f"{where} keeps the mean and deviation of images as NumPy's numbers: give --mean and --std")
        if (three := _three(mean)) and (other := _three(std)):
            means.add(three)
            stds.add(other)
    if not means or not stds:
        return None
    if len(means) > 1 or len(stds) > 1:
        raise UserError(f"{where} keeps a config with several means or deviations of images: give --mean and --std")
    both = (*means.pop(), *stds.pop())
    values = [value / 255 if max(both) > 1 else value for value in both]  # of pixels in 0 to 255
    if all(abs(ours - theirs) < 1e-3 for ours, theirs in zip(values, IMAGENET.mean + IMAGENET.std, strict=True)):
        return IMAGENET
    return preprocessing_of(values[:3], values[3:], where)


def _scalings(held: Any, *, nested: bool, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Each mean that stands beside a deviation."""
    entries = held if isinstance(held, Mapping) else vars(held) if isinstance(held, argparse.Namespace) else {}
    names = {name.lower(): value for name, value in entries.items() if isinstance(name, str)}
    yield from ((names[one], names[other]) for one, other in MEAN_AND_STD if one in names and other in names)
    if nested and depth < MAX_DEPTH:
        for value in entries.values():
            yield from _scalings(value, nested=True, depth=depth + 1)


def _is_unread(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else (value,)
    return any(isinstance(each, Foreign) and each.name.startswith("numpy") for each in values)


def _three(value: Any) -> tuple[float, ...] | None:
    numbers = value.tolist() if getattr(value, "ndim", 0) == 1 else value
    if isinstance(numbers, list | tuple) and len(numbers) == 3 and all(type(each) in (int, float) for each in numbers):
        return tuple(map(float, numbers))
    return None


def _args(checkpoint: Checkpoint) -> Mapping[str, Any]:
    args = checkpoint.get("args")
    return args if isinstance(args, Mapping) else vars(args) if isinstance(args, argparse.Namespace) else {}


def _text(checkpoint: Checkpoint) -> str:
    meta = checkpoint.get("meta")
    said = [meta.get(name) for name in TEXTS] if isinstance(meta, Mapping) else []
    return next((each for each in said if isinstance(each, str)), "")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in re.findall(r"\d+\.?\d*", text))
