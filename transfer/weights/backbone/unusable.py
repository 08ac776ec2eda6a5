"""Checkpoints without a network's own weights: they are in other files, in parts, quantised, or another network's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfer.weights.backbone.types import Checkpoint

# of optimisers: torch/optim; and what stands beside their state
OPTIMIZER = ("exp_avg", "momentum_buffer", "square_avg", "exp_avg_sq", "max_exp_avg_sq")
# keys that a method leaves in a state dict: in one of their parts they have a mark; the reason and the way out
MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("lora_A", "lora_B", "lora_a", "lora_b", "lora_embedding_A"),  # github.com/huggingface/peft: tuners/lora
        "holds LoRA's adapters, which change a network's weights: add them to the weights where it was trained "
        "(peft: merge_and_unload), and torch.save the state dict of the network",
    ),
    (
        ("weight_orig", "weight_mask"),  # torch/nn/utils/prune.py, spectral_norm.py
        "keeps weights in parts (weight_orig and what changes it): take the pruning or the norm off where it was "
        "trained (torch.nn.utils.prune.remove, remove_spectral_norm), and torch.save the state dict",
    ),
    (
        ("weight_g", "weight_v"),  # torch/nn/utils/weight_norm.py
        "keeps weights in parts (weight_g and weight_v): call torch.nn.utils.remove_weight_norm where it was trained, "
        "and torch.save the state dict",
    ),
    (
        ("parametrizations",),  # torch/nn/utils/parametrize.py
        "keeps weights in parts (parametrizations): call torch.nn.utils.parametrize.remove_parametrizations where it "
        "was trained, and torch.save the state dict",
    ),
    (
        # bitsandbytes/nn/modules.py; torch/ao/nn/quantized; what vLLM and compressed-tensors write beside weights
        ("absmax", "SCB", "quant_map", "weight_scale", "weight_scale_inv", "weight_zero_point", "qweight", "qzeros"),
        "holds quantised weights: give the checkpoint that they were made from",
    ),
    (
        ("filt",),  # github.com/adobe/antialiased-cnns: antialiased_cnns/blurpool.py
        "blurs before it halves its maps (antialiased-cnns), which no network here does so: give the checkpoint of a "
        "network without, or timm's resnetaa or resnetblur",
    ),
    (
        ("query_key_value",),  # github.com/NVIDIA/Megatron-LM: megatron/legacy/model/transformer.py
        "has Megatron's attention, whose queries, keys and values take turns, head by head: convert it with "
        "Megatron's own tools, and torch.save the state dict with all queries first",
    ),
)
DETECTRON2 = (  # github.com/facebookresearch/detectron2: modeling/backbone/resnet.py; maskrcnn-benchmark's, before it
    "is a detector of Detectron2's or maskrcnn-benchmark's: their backbones take BGR in 0 to 255, and most have the "
    "stride in the 1x1 convolution. Give the checkpoint from before the detector was trained"
)
SEGMENTER = (  # github.com/pytorch/vision: models/segmentation/deeplabv3.py, fcn.py, with replace_stride_with_dilation
    "is a segmenter of torchvision's, whose ResNet is dilated in its last two stages, which no network here is: give "
    "the checkpoint from before the segmenter was trained"
)
HEADS = ("fc", "head", "heads", "head_dist", "classifier", "projector", "projection_head", "predictor", "last_layer")


def unusable(checkpoint: Checkpoint) -> str | None:
    """Why the weights are not in this file as a network has them, and how to get them so; None where they may be."""
    entries = list(_entries(checkpoint))
    return (
        _sharded(checkpoint)
        or next((reason for entry in entries if (reason := _marked(entry))), None)
        or _without_network(checkpoint, entries)
    )


def _entries(held: Any, depth: int = 0) -> Iterator[Mapping[Any, Any]]:
    """The checkpoint and the entries in it that may be state dicts."""
    yield held
    if depth < 2:
        for inner in held.values():
            if isinstance(inner, Mapping):
                yield from _entries(inner, depth + 1)


def _sharded(checkpoint: Checkpoint) -> str | None:
    """github.com/microsoft/DeepSpeed: utils/zero_to_fp32.py; github.com/facebookresearch/dinov2: fsdp/__init__.py."""
    for state in (checkpoint, *checkpoint.values()):
        if isinstance(state, Mapping) and any(str(key).endswith("flat_param") for key in state):
            return (
                "holds one rank's part of a sharded save (FSDP's flat parameters): gather it where it was trained "
                "(StateDictType.FULL_STATE_DICT), or give the teacher_checkpoint.pth that DINOv2 writes to evaluate it"
            )
    module = checkpoint.get("module")
    sizes = [getattr(value, "numel", lambda: 1)() for value in module.values()] if isinstance(module, Mapping) else []
    if sizes and "ds_version" in checkpoint and sum(size == 0 for size in sizes) > len(sizes) // 2:
        return (
            "is DeepSpeed's with ZeRO-3, whose weights are in the files of the ranks beside it: run the "
            "zero_to_fp32.py that is in its folder, and give what it writes"
        )
    return None


def _marked(state: Mapping[Any, Any]) -> str | None:
    """What a key of a network says, by one of its parts; heads have weight norms of their own (DINO's)."""
    for key in state:
        words = key.split(".") if isinstance(key, str) else []
        if words and not set(words) & set(HEADS):
            for marks, reason in MARKS:
                if set(words) & set(marks):
                    return reason
            if key.endswith(("bottom_up.stem.conv1.weight", "backbone.body.stem.conv1.weight")):
                return DETECTRON2
            if key.endswith("backbone.layer4.0.conv1.weight"):
                head = state.get(key.replace("backbone.layer4.0.conv1.weight", "classifier.4.weight"))
                if getattr(head, "ndim", 0) == 4:  # no classifier of images has a convolution there
                    return SEGMENTER
    return None


def _without_network(checkpoint: Checkpoint, entries: list[Mapping[Any, Any]]) -> str | None:
    """Tensors without names, or an optimiser's alone."""
    listed = [name for entry in entries for name, held in entry.items() if _lists_tensors(held)]
    named = [entry for entry in entries if not is_optimizers(entry) and any(_is_weight(key) for key in entry)]
    if named:
        return None
    if listed:
        return (
            f"keeps its tensors as a list ({str(listed[0])[:60]!r}), without the names of a state dict: load it where "
            f"it was made, and torch.save the network's state_dict()"
        )
    if any("param_groups" in entry and "state" in entry for entry in entries):
        return "holds an optimizer's state and no network: give the checkpoint that was saved beside it"
    return None


def is_optimizers(entry: Mapping[Any, Any]) -> bool:
    """Whether this is what an optimiser keeps of one parameter."""
    return any(name in entry for name in OPTIMIZER)


def _is_weight(key: object) -> bool:
    return isinstance(key, str) and key.endswith((".weight", ".bias"))


def _lists_tensors(held: object) -> bool:
    import torch

    if not isinstance(held, list) or len(held) < 2:
        return False
    values = [each[1] if isinstance(each, tuple) and len(each) == 2 else each for each in held]
    return all(isinstance(value, torch.Tensor) for value in values)
