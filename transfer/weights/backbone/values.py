"""What has to be done with the tensors of some codes beside their names, to have them as timm has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twist_common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def registers_apart(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """timm adds no position to the class token of a ViT with registers: it is added once here, as its own filter does.

    github.com/huggingface/pytorch-image-models: timm/models/vision_transformer.py, _convert_dinov2
    """
    if "reg_token" not in state:
        return state
    positions = state["pos_embed"]
    return {**state, "cls_token": state["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}


def biases_apart(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """timm keeps the biases of queries and values alone, as far as the mask lets them in; those of keys have to be out.

    github.com/facebookresearch/dinov3: layers/attention.py, LinearKMaskedBias; layers/rope_position_encoding.py. The
    mask is 1, 0, 1 where a training begins, and 0 in all released files, as the biases are (its issue 195).

    Raises:
        UserError: biases of keys, or other periods of the rotary embedding, which timm's networks cannot have.
    """
    import torch

    kept = {key: value for key, value in state.items() if not key.endswith((".qkv.bias", ".qkv.bias_mask", "periods"))}
    way = (
        "give a file as DINOv3's own code saves it, or, if the network is in timm by now, timm's state dict and --arch"
    )
    for key, bias in state.items():
        if not key.endswith(".qkv.bias"):
            continue
        mask = state.get(f"{key}_mask", torch.ones_like(bias))
        queries, keys, values = (bias * mask.to(bias.dtype)).chunk(3)
        if bool((keys != 0).any()):
            raise UserError(
                f"{where} is no DINOv3 as its code writes it: {key}_mask lets biases of keys in, which its training "
                f"masks: {way}"
            )
        beginning = key.removesuffix("qkv.bias")
        kept |= {f"{beginning}q_bias": queries, f"{beginning}v_bias": values}
    periods = state["rope_embed.periods"].float()
    expected = 100 ** (torch.arange(periods.numel()) / periods.numel())  # base 100, for each quarter of a head
    if not torch.allclose(periods, expected, rtol=2**-7):  # some are kept in bfloat16
        raise UserError(
            f"{where} is no DINOv3 as its code writes it: rope_embed.periods are not of base 100, as those of all its "
            f"models are: {way}"
        )
    return kept


def tables_apart(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """Each block has its own table of relative positions in timm; one that is shared is given to each.

    github.com/microsoft/unilm: beit/run_class_finetuning.py does the same before it fine-tunes.

    Raises:
        UserError: it has not been fine-tuned, which its last norm shows.
    """
    if "norm.weight" in state and "fc_norm.weight" not in state:
        raise UserError(
            f"{where} is BEiT before it is fine-tuned: its last norm is one of each token, and timm's BEiT has "
            f"one of their mean (fc_norm); give a fine-tuned checkpoint, or another kind of network"
        )
    shared = state.pop("rel_pos_bias.relative_position_bias_table", None)
    if shared is not None:
        blocks = {key.split(".")[1] for key in state if key.startswith("blocks.")}
        state |= {f"blocks.{block}.attn.relative_position_bias_table": shared for block in blocks}
    return state


def with_batch(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """CLIP keeps its class token as (channels,) and its positions as (tokens, channels); timm has a batch before."""
    ranks = {"cls_token": 3, "pos_embed": 3}
    return {key: value[(None,) * (ranks.get(key, value.ndim) - value.ndim)] for key, value in state.items()}


def grn_flat(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """ConvNeXt V2 keeps its response norm as (1, 1, 1, channels), timm as (channels,)."""
    return {key: value.flatten() if ".grn." in key else value for key, value in state.items()}


def merged_by_columns(state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """OpenMMLab's Swin merges four patches by channel, row, column (torch.nn.Unfold); timm by column, row, channel.

    github.com/open-mmlab/mmpretrain: models/utils/embed.py, PatchMerging.
    """

    def reordered(tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (-1, 2, 2)).transpose(-3, -1).flatten(-3)

    merging = ("downsample.norm.weight", "downsample.norm.bias", "downsample.reduction.weight")
    return {key: reordered(value) if key.endswith(merging) else value for key, value in state.items()}
