"""Layer-wise learning rates: layers nearer to the image, whose features are more general, learn more slowly.

As ViTDet fine-tunes ViTs and ConvNeXt its networks. The layers are timm's (``group_matcher``): the blocks of plain
networks, the stages of those with a pyramid, in front of them the stem, the embeddings and the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from transfer.weights.backbone import architecture

# Of networks without group_matcher: torchvision's ResNets, timm's MetaFormers.
STAGES: Mapping[str, Any] = {"stem": r"^(?:stem|conv1|bn1)\b", "stages": r"^(?:layer|stages\.)(\d+)"}
BLOCKS_OF_BASE = 12  # of a ViT-B
UNDECAYED = ("pos_embed", "cls_token")  # not 1-D, but not weights either


def parameter_groups(
    model: nn.Module,
    network: nn.Module,
    arch: str,
    *,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """One group for each pair of learning rate and weight decay, in the order of the parameters that are trained.

    Biases, norms and scales, which are 1-D, and what timm excepts (tokens, position embeddings, tables of relative
    positions) do not decay.

    Args:
        model: the whole model that is trained.
        network: its backbone, as :func:`transfer.weights.backbone.network.build_dense_network` makes it; an empty
            module where there is none with rates of its own.
        arch: the network's.
        learning_rate: of the layers that are not pre-trained.
        layer_decay: see :func:`rate_factors`.

    Returns:
        As torch's optimisers take them: ``params``, ``lr``, ``weight_decay``.
    """
    excepted = {*UNDECAYED, *(network.no_weight_decay() if hasattr(network, "no_weight_decay") else ())}  # type: ignore[operator]
    factors = rate_factors(network, arch, layer_decay)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        name = names.get(id(parameter))
        rate = learning_rate * (1.0 if name is None else factors[name])
        decays = parameter.ndim > 1 and name not in excepted
        groups.setdefault((rate, weight_decay if decays else 0.0), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def rate_factors(network: nn.Module, arch: str, layer_decay: float) -> dict[str, float]:
    """The learning rate of each of a backbone's parameters over that of the heads, by name.

    ``layer_decay`` to the power of the layer's distance from the heads: 1 for the last stage of a network with a
    pyramid, or the last block of a ViT of twelve. Blocks of deeper ViTs are nearer to each other, so that the first is
    as far away as a ViT-B's: 0.7 of ViT-B is 0.84 per block of a ViT-L and 0.87 of a ViT-H, for which ViTDet
    has 0.8 and 0.9 (https://github.com/facebookresearch/detectron2/tree/main/projects/ViTDet/configs/COCO).
    """
    from timm.models import group_parameters

    if layer_decay == 1.0:
        return dict.fromkeys((name for name, _ in network.named_parameters()), 1.0)
    matcher = network.group_matcher(coarse=True) if hasattr(network, "group_matcher") else STAGES  # type: ignore[operator]
    layers: dict[str, int] = group_parameters(network, matcher, reverse=True)
    last = max(layers.values())
    step = 1.0 if architecture.get(arch).is_pyramid else BLOCKS_OF_BASE / last
    return {name: layer_decay ** ((last + 1 - layer) * step) for name, layer in layers.items()}
