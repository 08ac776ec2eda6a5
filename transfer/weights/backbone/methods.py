"""Rows of the table of layouts: the methods' own codes, and OpenMMLab's."""

from __future__ import annotations

from transfer.weights.backbone.marks import (
    ASK_HEADS,
    CLASSIFIER,
    PROJECTION,
    SUPERVISED_OR_SIMCLR,
    TWELVE_HEADS,
    args_arch,
    entry,
    has_any,
    has_resnet,
)
from transfer.weights.backbone.naming import MMPRETRAIN_VIT, SEQUENTIAL_RESNET
from transfer.weights.backbone.types import IMAGENET, UNSCALED, Network, Preprocessing, Source

_SWAV_DROPPED = {"module.projection_head.": PROJECTION, "module.prototypes.": "prototypes"}

_VICREGL = ("module.maps_projector.", "module.classifier.")

_IBOT_MASK = {  # github.com/bytedance/ibot: models/vision_transformer.py; its checkpoints are DINO's otherwise
    "module.backbone.masked_embed": "mask token",
    "backbone.masked_embed": "mask token",
}


def _moco(name: str, ddp: str) -> Source:
    """v1 and v2, github.com/facebookresearch/moco: moco/builder.py."""
    return Source(
        name=name,
        recognise=lambda c: has_resnet(entry(c, "state_dict"), f"{ddp}encoder_q.") and f"{ddp}queue" in c["state_dict"],
        student=Network(entry="state_dict", prefix=f"{ddp}encoder_q."),
        teacher=Network(entry="state_dict", prefix=f"{ddp}encoder_k."),
        dropped={
            f"{ddp}encoder_q.fc.": PROJECTION,
            f"{ddp}encoder_k.fc.": PROJECTION,
            f"{ddp}queue": "queue of negatives",
            f"{ddp}val_queue": "queue of negatives",  # github.com/Lightning-Universe/lightning-bolts: moco_module.py
        },
    )


def _moco_v3(name: str, ddp: str) -> Source:
    """github.com/facebookresearch/moco-v3: moco/builder.py, vits.py."""
    encoders = (f"{ddp}base_encoder.", f"{ddp}momentum_encoder.")
    heads = {f"{encoder}{head}.": PROJECTION for encoder in encoders for head in ("fc", "head")}
    return Source(
        name=name,
        recognise=lambda c: has_any(entry(c, "state_dict"), encoders[0]),
        student=Network(entry="state_dict", prefix=encoders[0]),
        teacher=Network(entry="state_dict", prefix=encoders[1]),
        dropped=heads | {f"{ddp}predictor.": "predictor"},
        archs={"deit_small": TWELVE_HEADS},
    )


def _dino(name: str, teacher_prefix: str, *, ibot: bool) -> Source:
    """github.com/facebookresearch/dino: main_dino.py, and github.com/bytedance/ibot: main_ibot.py, which is alike.

    Args:
        teacher_prefix: without batch norm the teacher is not wrapped.
        ibot: whether it is iBOT's.
    """
    return Source(
        name=name,
        recognise=lambda c: (
            has_any(entry(c, "student"), "module.backbone.")
            and has_any(entry(c, "teacher"), f"{teacher_prefix}backbone.")
            and ("ibot_loss" in c or "module.backbone.masked_embed" in c["student"]) == ibot
        ),
        student=Network(entry="student", prefix="module.backbone."),
        teacher=Network(entry="teacher", prefix=f"{teacher_prefix}backbone."),
        dropped={"module.head.": PROJECTION, "head.": PROJECTION, **(_IBOT_MASK if ibot else {})},
        ask_archs=ASK_HEADS,
        says_arch=args_arch,
        default_network="teacher",  # eval_linear.py and eval_knn.py: --checkpoint_key teacher
    )


METHODS = (
    _moco("MoCo", "module."),
    _moco("MoCo without DDP", ""),
    _moco_v3("MoCo v3", "module."),
    _moco_v3("MoCo v3 without DDP", ""),
    Source(
        name="SimSiam",  # github.com/facebookresearch/simsiam: simsiam/builder.py, main_simsiam.py
        recognise=lambda c: (
            has_resnet(entry(c, "state_dict"), "module.encoder.") and has_any(c["state_dict"], "module.predictor.")
        ),
        student=Network(entry="state_dict", prefix="module.encoder."),
        dropped={"module.encoder.fc.": PROJECTION, "module.predictor.": "predictor"},
    ),
    Source(
        name="PixPro",  # github.com/zdaxie/PixPro: contrast/models/PixPro.py, main_pretrain.py, publish_model.py
        recognise=lambda c: (
            has_resnet(entry(c, "model"), "module.encoder.") and has_any(c["model"], "module.encoder_k.")
        ),
        student=Network(entry="model", prefix="module.encoder."),
        teacher=Network(entry="model", prefix="module.encoder_k."),
        dropped={
            "module.projector": PROJECTION,
            "module.value_transform.": PROJECTION,
            "module.predictor.": "predictor",
        },
    ),
    Source(
        # github.com/tonylins/simclr-converter, whose eval.py says "do not have normalization"; torchvision's network
        # saved as {"state_dict": ...} has the same layout, counters of 0 included
        name="ResNet with classifier in state_dict",
        recognise=lambda c: (
            c.keys() == {"state_dict"} and has_resnet(entry(c, "state_dict")) and has_any(c["state_dict"], "fc.")
        ),
        student=Network(entry="state_dict"),
        dropped={"fc.": CLASSIFIER},
        preprocessing=None,
        ask_preprocessing=SUPERVISED_OR_SIMCLR,
    ),
    Source(
        name="SimCLR (PyTorch)",  # github.com/sthalles/SimCLR: simclr.py; its images are scaled by ToTensor alone
        recognise=lambda c: "arch" in c and has_resnet(entry(c, "state_dict"), "backbone."),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped={"backbone.fc.": PROJECTION},
        preprocessing=UNSCALED,
    ),
    Source(
        name="BYOL (PyTorch)",  # github.com/yaox12/BYOL-PyTorch: model/basic_modules.py, where "projetion" is its word
        recognise=lambda c: has_any(entry(c, "model"), "module.online_network.encoder."),
        student=Network(entry="model", prefix="module.online_network.encoder."),
        teacher=Network(entry="model", prefix="module.target_network.encoder."),
        dropped={
            "module.online_network.projetion.": PROJECTION,
            "module.target_network.projetion.": PROJECTION,
            "module.predictor.": "predictor",
        },
        naming=SEQUENTIAL_RESNET,
    ),
    Source(
        name="SwAV or DeepCluster-v2",  # the released files, github.com/facebookresearch/swav: src/resnet50.py
        recognise=lambda c: has_resnet(c, "module.") and has_any(c, "module.pro"),
        student=Network(prefix="module."),
        dropped=_SWAV_DROPPED,
    ),
    Source(
        name="SwAV or DeepCluster-v2 checkpoint",  # as main_swav.py writes it
        recognise=lambda c: (
            has_resnet(entry(c, "state_dict"), "module.") and has_any(c["state_dict"], "module.projection_head.")
        ),
        student=Network(entry="state_dict", prefix="module."),
        dropped=_SWAV_DROPPED,
    ),
    _dino("DINO", "", ibot=False),
    _dino("DINO with batch norm", "module.", ibot=False),
    _dino("iBOT", "", ibot=True),
    _dino("iBOT with batch norm", "module.", ibot=True),
    Source(
        name="Barlow Twins",  # github.com/facebookresearch/barlowtwins: main.py
        recognise=lambda c: has_resnet(entry(c, "model"), "module.backbone.") and has_any(c["model"], "module.bn."),
        student=Network(entry="model", prefix="module.backbone."),
        dropped={"module.projector.": PROJECTION, "module.bn.": "batch norm of the loss"},
    ),
    Source(
        name="VICReg",  # github.com/facebookresearch/vicreg: main_vicreg.py
        recognise=lambda c: (
            has_resnet(entry(c, "model"), "module.backbone.")
            and not any(has_any(c["model"], beginning) for beginning in ("module.bn.", *_VICREGL))
        ),
        student=Network(entry="model", prefix="module.backbone."),
        dropped={"module.projector.": PROJECTION},
    ),
    Source(
        name="VICRegL",  # github.com/facebookresearch/VICRegL: main_vicregl.py, utils.py
        recognise=lambda c: (
            has_any(entry(c, "model"), "module.backbone.")
            and any(has_any(c["model"], beginning) for beginning in _VICREGL)
        ),
        student=Network(entry="model", prefix="module.backbone."),
        dropped={"module.projector.": PROJECTION, **dict.fromkeys(_VICREGL, PROJECTION)},
        preprocessing=Preprocessing("RGB", IMAGENET.mean, (0.228, 0.224, 0.225)),  # so in its transforms.py
    ),
)

_OPENMMLAB_DROPPED = {
    "momentum_encoder.": "momentum encoder",
    "target_generator.": "what makes the targets",
    "neck.": PROJECTION,
    "head.": "head",
    "encoder_q.": "the same backbone and its neck once more",  # DenseCL and MoCo of OpenSelfSup name it twice
    "encoder_k.": "momentum encoder",
    "target_net.": "target network",
    "queue": "queue of negatives",
}

OPENMMLAB = (
    Source(
        name="OpenMMLab ResNet",  # mmpretrain, mmselfsup, mmcls, OpenSelfSup; DenseCL's training checkpoints
        recognise=lambda c: "meta" in c and "backbone.conv1.weight" in entry(c, "state_dict"),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped=_OPENMMLAB_DROPPED,
    ),
    Source(
        name="OpenMMLab ViT",  # mmpretrain/models/backbones/vision_transformer.py
        recognise=lambda c: (
            {"backbone.patch_embed.projection.weight", "backbone.pos_embed"} <= entry(c, "state_dict").keys()
        ),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped=_OPENMMLAB_DROPPED,
        naming=MMPRETRAIN_VIT,
        ask_archs=ASK_HEADS,
    ),
    Source(
        # extract_backbone_weights.py of OpenSelfSup and DenseCL writes its author beside the state dict
        name="OpenSelfSup backbone",
        recognise=lambda c: isinstance(c.get("author"), str) and has_resnet(entry(c, "state_dict")),
        student=Network(entry="state_dict"),
    ),
)
