"""The table of checkpoint layouts. A new source is one row here and one test.

A layout is recognised by what the checkpoint must hold and must not hold; nothing is matched by similarity. The keys
of its state dict either carry the prefix of the backbone or are dropped by a name in ``dropped``. Every network here
is fed RGB, scaled by ImageNet's mean and deviation unless the row says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from transfer.weights.backbone.architecture import names
from transfer.weights.backbone.codes import CODES
from transfer.weights.backbone.families import FAMILIES
from transfer.weights.backbone.generic import AVERAGES, ENTRIES, MOMENTUM, WRAPPERS, generic_source
from transfer.weights.backbone.hugging_face import FAMILIES as HUGGING_FACE
from transfer.weights.backbone.hugging_face import hugging_face_source
from transfer.weights.backbone.marks import (
    ASK_HEADS,
    CLASSIFIER,
    PROJECTION,
    VIT_SCALES,
    entry,
    has_any,
    has_resnet,
    has_vit,
    is_ours,
)
from transfer.weights.backbone.methods import METHODS, OPENMMLAB
from transfer.weights.backbone.naming import TORCHVISION_VIT
from transfer.weights.backbone.suggestion import way_out
from transfer.weights.backbone.types import Checkpoint, Network, Source
from transfer.weights.backbone.unusable import unusable
from twist_common.errors import UserError

_OURS = (
    Source(
        name="twist-transfer checkpoint",
        recognise=lambda c: is_ours(c) and bool(entry(c, "model")),
        student=Network(entry="model", prefix="backbone.", head_prefix="head."),
        teacher=Network(entry="teacher", prefix="backbone.", head_prefix="head."),
        dropped={"head.": PROJECTION},
    ),
    Source(
        name="twist-transfer backbone",
        recognise=lambda c: is_ours(c) and isinstance(c.get("backbone"), Mapping),
        student=Network(entry="backbone", head_entry="head"),
        teacher=Network(entry="teacher_backbone", head_entry="teacher_head"),
        head_config_entry="head_config",
        preprocessing_entry="preprocessing",
    ),
    Source(
        name="official TWIST",
        recognise=lambda c: "format" not in c and isinstance(c.get("backbone"), Mapping) and "model" in c,
        student=Network(entry="backbone", official_head_entry="model"),
        teacher=Network(entry="teacher_backbone", official_head_entry="teacher"),
    ),
)

_PLAIN = (
    Source(
        # the backbone-only files of the official TWIST, DINO (dino_resnet50_pretrain.pth), Barlow Twins and VICReg
        name="plain ResNet without classifier",
        recognise=lambda c: has_resnet(c) and not has_any(c, "fc."),
        student=Network(),
        dropped={
            **dict.fromkeys(("projector.", "predictor.", "projection_head.", "prototypes."), PROJECTION),
            "last_linear.": CLASSIFIER,  # github.com/Cadene/pretrained-models.pytorch: models/torchvision_models.py
        },
        published_alone=True,
    ),
    Source(
        # torchvision's and timm's ResNets; DeepMind's BYOL as github.com/chigur/byol-convert writes it
        name="plain ResNet with classifier",
        recognise=lambda c: has_resnet(c) and has_any(c, "fc."),
        student=Network(),
        published_alone=True,
        dropped={"fc.": CLASSIFIER},
    ),
    Source(
        # the backbone-only files of the official TWIST and DINO
        name="plain ViT without classifier",
        recognise=lambda c: has_vit(c) and not has_any(c, "head."),
        student=Network(),
        preprocessing=None,
        ask_preprocessing=VIT_SCALES,
        ask_archs=ASK_HEADS,
    ),
    Source(
        # timm's ViTs
        name="plain ViT with classifier",
        recognise=lambda c: has_vit(c) and has_any(c, "head."),
        student=Network(),
        dropped={"head.": CLASSIFIER},
        preprocessing=None,
        ask_preprocessing=VIT_SCALES,
        ask_archs=ASK_HEADS,
    ),
    Source(
        name="torchvision ViT",  # torchvision/models/vision_transformer.py
        recognise=lambda c: {"class_token", "conv_proj.weight", "encoder.pos_embedding"} <= c.keys(),
        student=Network(),
        dropped={"heads.": CLASSIFIER},
        naming=TORCHVISION_VIT,
        ask_archs=ASK_HEADS,
    ),
    Source(
        name="DeiT",  # github.com/facebookresearch/deit: deit_small_patch16_224-*.pth
        recognise=lambda c: c.keys() == {"model"} and has_vit(entry(c, "model")) and has_any(c["model"], "head."),
        student=Network(entry="model"),
        dropped={"head.": CLASSIFIER, "head_dist.": CLASSIFIER},
    ),
    Source(
        name="PyTorch ImageNet example",  # github.com/pytorch/examples: imagenet/main.py, in DataParallel
        recognise=lambda c: has_resnet(entry(c, "state_dict"), "module.") and has_any(c["state_dict"], "module.fc."),
        student=Network(entry="state_dict", prefix="module."),
        dropped={"module.fc.": CLASSIFIER},
    ),
)

SOURCES: tuple[Source, ...] = (*_OURS, *_PLAIN, *METHODS, *OPENMMLAB)


def known_layouts() -> str:
    """What is read without a word from the user, for ``--help``."""
    rows, codes, hugging_face, families = (
        ", ".join(dict.fromkeys(each.name for each in table)) for table in (SOURCES, CODES, HUGGING_FACE, FAMILIES)
    )
    entries = ", ".join(entry.replace("/", ".") for entry in (*ENTRIES, *AVERAGES) if entry)
    return (
        f"Known layouts, recognised by what a checkpoint holds: {rows}; {codes}; Hugging Face's "
        f"{hugging_face}; and one network of {families} in an entry of {entries}, behind any of the "
        f"prefixes {'. '.join((*WRAPPERS, *MOMENTUM))}. Architectures: {', '.join(names())}, and every network of timm."
    )


def some_keys(keys: Collection[str], count: int = 4) -> str:
    """A few keys, for messages."""
    shown = ", ".join(repr(str(key)[:60])[1:-1] for key in list(keys)[:count])
    return (shown or "nothing") + (", …" if len(keys) > count else "")


def _is_of_our_format(checkpoint: Checkpoint) -> bool:
    """Of any version: one that is not known here is not read as something else."""
    return checkpoint.get("format") == "twist-transfer"


def recognise(checkpoint: Checkpoint, where: str, arch: str | None = None) -> Source:
    """The one row that this checkpoint fits.

    Args:
        checkpoint: what was in the file.
        where: the file, for the message.
        arch: what the user says that it is, for the message.

    Raises:
        UserError: no row fits, or more than one; with the command that says where the network is.
    """
    if reason := unusable(checkpoint):
        raise UserError(f"{where} {reason}")
    fitting = [source for source in SOURCES if source.recognise(checkpoint)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and not _is_of_our_format(checkpoint):
        source = hugging_face_source(checkpoint) or generic_source(checkpoint)
        if source is not None:
            return source
    if fitting:
        several = " and of ".join(source.name for source in fitting)
        way = way_out(checkpoint, where, arch) or ": save only one of them"
        raise UserError(f"{where} is ambiguous, it has the layout of {several}{way}")
    inside = [
        f"{some_keys([name])} holds {some_keys(entry)}"
        for name, entry in checkpoint.items()
        if isinstance(entry, Mapping)
    ]
    seen = "; ".join([f"its keys begin with {some_keys(checkpoint)}", *inside[:2]])
    way = way_out(checkpoint, where, arch) or ": no convolution in it takes RGB images, give one that has"
    raise UserError(f"{where} has no known layout ({seen}){way}")
