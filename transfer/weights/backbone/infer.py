"""The architecture of a set of tensors, and the right words for those that have none here. Pure functions, no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfer.weights.backbone.architecture import (
    PATCH_SIZE,
    RESNETS,
    VITS,
    Shape,
    canonical,
    expected_shapes,
    get,
    names,
)
from transfer.weights.backbone.known_timm import nearest_in_timm, resized_in_timm, same, same_in_timm
from transfer.weights.backbone.timm_network import TimmSpec
from twist_common.errors import UserError


def infer_arch(shapes: Mapping[str, Shape], where: str, expected: str | None = None, said: str | None = None) -> str:
    """The architecture that has exactly these keys and shapes: ours, or else one of timm's that is known here.

    Where none has them, it is the one of ours whose blocks these keys name, if there is one: the caller, who checks
    key by key, shows what is wrong with it.

    Args:
        shapes: torchvision's or timm's key to tensor shape.
        where: the file, for the message.
        expected: what the user says; a network of timm is then not looked for.
        said: what the training's own settings say; it chooses among those of timm that have these shapes.

    Raises:
        UserError: the keys are those of no known architecture, or of several.
    """
    if expected is not None and isinstance(get(expected), TimmSpec):
        return canonical(expected)
    if ours := [arch for arch in names() if same(shapes, expected_shapes(arch))]:
        return ours[0]
    if timms := same_in_timm(shapes):
        if len(timms) == 1 or said in timms:
            return timms[0] if said not in timms else said
        openai = " (OpenAI's CLIP has quickgelu)" if any("quickgelu" in name for name in timms) else ""
        raise UserError(
            f"{where} may be any of timm's {', '.join(timms)}, whose tensors have the same shapes: give the one "
            f"that it is{openai}, e.g. --arch {timms[0]}"
        )
    if resized := resized_in_timm(shapes):
        return resized
    _check_patches(shapes, where)
    if not _is_plain(shapes) and (nearest := nearest_in_timm(shapes)):
        raise UserError(
            f"{where} holds a network that is not known by its shapes; the nearest is timm's {nearest}: give --arch "
            f"with timm's name of it, if timm has it"
        )
    if {"cls_token", "patch_embed.proj.weight"} <= shapes.keys():
        width, patch = (shapes[key][-1:] for key in ("cls_token", "patch_embed.proj.weight"))
        depth = len({match[1] for key in shapes if (match := re.match(r"blocks\.(\d+)\.", key))})
        found = [arch for arch, spec in VITS.items() if ((spec.width,), spec.depth) == (width, depth)]
        found = found if patch == (PATCH_SIZE,) else []
        what, known = f"a ViT of {depth} blocks, width {_shown(width)} and patches of {_shown(patch)} px", list(VITS)
    elif {"conv1.weight", "layer1.0.conv1.weight"} <= shapes.keys():
        blocks = {match.groups() for key in shapes if (match := re.match(r"layer([1-4])\.(\d+)\.", key))}
        counts = tuple(sum(layer == str(wanted) for layer, _ in blocks) for wanted in range(1, 5))
        kind = "bottleneck" if "layer1.0.conv3.weight" in shapes else "basic"
        found = [arch for arch, spec in RESNETS.items() if (spec.block, spec.num_blocks) == (kind, counts)]
        # if none has this width, the first one's shapes show the caller what is wrong
        found.sort(key=lambda arch: shapes["conv1.weight"][:1] != (RESNETS[arch].stem_channels,))
        what, known = f"{'-'.join(map(str, counts))} {kind} blocks in layer1 to layer4", list(RESNETS)
        if "conv2.weight" in shapes:
            raise UserError(
                f"{where} holds CLIP's ResNet, whose stem has three convolutions and whose pooling is an attention: no "
                f"framework here has it; give a ViT of CLIP's, or another ResNet"
            )
        _check_stem(shapes["conv1.weight"], found, where)
    else:
        raise UserError(
            f"{where} is none of the networks that are known by their keys, which begin with "
            f"{', '.join(list(shapes)[:4])}: give --arch with timm's name of it, if timm has it"
        )
    if found:
        return found[0]
    raise UserError(
        f"{where} holds {what}, which is none of {', '.join(known)}, nor one of timm's that are known here: give "
        f"--arch with timm's name of it, if timm has it"
    )


def _is_plain(shapes: Mapping[str, Shape]) -> bool:
    """Whether these are keys of the kind of networks of our own: ResNets, and ViTs without layer scale."""
    if "cls_token" in shapes:
        return "pos_embed" in shapes and not any(key.endswith(".ls1.gamma") for key in shapes)
    return "conv1.weight" in shapes


def _check_patches(shapes: Mapping[str, Shape], where: str) -> None:
    """Raises :class:`UserError` for ViTs of videos, or of images of other channels than three."""
    patch = shapes.get("patch_embed.proj.weight", ())
    if len(patch) == 5:
        raise UserError(
            f"{where} takes videos (its patches span {patch[2]} frames), and all benchmarks here are of images: give a "
            f"network of images"
        )
    if len(patch) == 4 and patch[1] != 3:
        raise UserError(
            f"{where} holds a ViT whose patches have {patch[1]} channel{'s' * (patch[1] > 1)}: images here are RGB; "
            f"give a backbone that was trained with three channels"
        )


def _shown(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if sizes else "unknown size"


def _check_stem(stem: Shape, found: list[str], where: str) -> None:
    """Raises :class:`UserError` for the stems of recipes for small or grey images, and for other widths."""
    name = found[0] if found else "ResNet"
    if stem[2:] == (3, 3):
        raise UserError(
            f"{where} holds a {name} with the 3x3 stem of recipes for CIFAR, whose maps are as large as the images: "
            f"all frameworks here take the 7x7 stem; give a backbone that was trained with it"
        )
    if stem[2:] == (7, 7) and stem[1] != 3:
        raise UserError(
            f"{where} holds a {name} whose stem takes {stem[1]} channel{'s' * (stem[1] > 1)}: images here are RGB; "
            f"give a backbone that was trained with three channels"
        )
    widths = {RESNETS[arch].stem_channels: arch for arch in found}
    if stem[1:] == (3, 7, 7) and widths and stem[0] not in widths and stem[0] % 64 == 0:
        raise UserError(
            f"{where} holds a {name} of {stem[0] // 64} times the width (w{stem[0] // 64}), which is not known here: "
            f"give a checkpoint of {' or '.join(widths.values())}"
        )
