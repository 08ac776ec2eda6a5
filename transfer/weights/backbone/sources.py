"""The table of checkpoint layouts. A new source is one row here and one test.

A layout is recognised by what the checkpoint must hold and must not hold; nothing is matched by similarity. The keys
of its state dict either carry the prefix of the backbone or are dropped by a name in ``dropped``. Every network here
is fed RGB, scaled by ImageNet's mean and deviation unless the row says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from common.errors import UserError
from transfer.weights.backbone.naming import MMPRETRAIN_VIT, SEQUENTIAL_RESNET, TORCHVISION_VIT
from transfer.weights.backbone.types import UNSCALED, Checkpoint, Network, Source

PROJECTION = "projection head"
CLASSIFIER = "classifier"

_SIX_OR_TWELVE_HEADS = "DeiT-S has 6 attention heads and MoCo v3's ViT-S has 12, in tensors of the same shapes"
_ASK_HEADS = {"deit_small": _SIX_OR_TWELVE_HEADS}
_VIT_SCALES = "DeiT's, DINO's and MAE's ViTs are fed by ImageNet's mean and deviation, Google's (augreg) by 0.5 and 0.5"
_SUPERVISED_OR_SIMCLR = (
    "a supervised network's images are scaled by ImageNet's mean and deviation (0.485 0.456 0.406 and 0.229 0.224 "
    "0.225), and those of SimCLR's converter not at all (0 0 0 and 1 1 1)"
)


def _entry(checkpoint: Checkpoint, name: str) -> Mapping[str, Any]:
    """The mapping of this name, or an empty one."""
    entry = checkpoint.get(name)
    return entry if isinstance(entry, Mapping) else {}


def _is_ours(checkpoint: Checkpoint) -> bool:
    return checkpoint.get("format") == "twist-transfer" and checkpoint.get("version") == 1


def _resnet(state: Checkpoint, prefix: str = "") -> bool:
    return all(prefix + key in state for key in ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"))


def _vit(state: Checkpoint, prefix: str = "") -> bool:
    return all(prefix + key in state for key in ("cls_token", "pos_embed", "patch_embed.proj.weight"))


def _any(state: Checkpoint, beginning: str) -> bool:
    return any(str(key).startswith(beginning) for key in state)


def _args_arch(checkpoint: Checkpoint) -> str | None:
    """What DINO's command line calls the network: its ``vit_small`` has 6 heads (vision_transformer.py)."""
    args = checkpoint.get("args")
    name = args.get("arch") if isinstance(args, Mapping) else getattr(args, "arch", None)
    return {"vit_small": "deit_small", "deit_small": "deit_small"}.get(name) if isinstance(name, str) else None


_OURS = (
    Source(
        name="twist-transfer checkpoint",
        recognise=lambda c: _is_ours(c) and bool(_entry(c, "model")),
        student=Network(entry="model", prefix="backbone.", head_prefix="head."),
        teacher=Network(entry="teacher", prefix="backbone.", head_prefix="head."),
        dropped={"head.": PROJECTION},
    ),
    Source(
        name="twist-transfer backbone",
        recognise=lambda c: _is_ours(c) and isinstance(c.get("backbone"), Mapping),
        student=Network(entry="backbone", head_entry="head"),
        teacher=Network(entry="teacher_backbone", head_entry="teacher_head"),
        head_config_entry="head_config",
        preprocessing_entry="preprocessing",
    ),
    Source(
        name="official TWIST",
        recognise=lambda c: "format" not in c and isinstance(c.get("backbone"), Mapping) and "model" in c,
        student=Network(entry="backbone"),
        teacher=Network(entry="teacher_backbone"),
    ),
)

_PLAIN = (
    Source(
        # the backbone-only files of the official TWIST, DINO (dino_resnet50_pretrain.pth), Barlow Twins and VICReg
        name="plain ResNet without classifier",
        recognise=lambda c: _resnet(c) and not _any(c, "fc."),
        student=Network(),
        published_alone=True,
    ),
    Source(
        # torchvision's and timm's ResNets; DeepMind's BYOL as github.com/chigur/byol-convert writes it
        name="plain ResNet with classifier",
        recognise=lambda c: _resnet(c) and _any(c, "fc."),
        student=Network(),
        published_alone=True,
        dropped={"fc.": CLASSIFIER},
    ),
    Source(
        # the backbone-only files of the official TWIST and DINO
        name="plain ViT without classifier",
        recognise=lambda c: _vit(c) and not _any(c, "head."),
        student=Network(),
        preprocessing=None,
        ask_preprocessing=_VIT_SCALES,
        ask_archs=_ASK_HEADS,
    ),
    Source(
        # timm's ViTs
        name="plain ViT with classifier",
        recognise=lambda c: _vit(c) and _any(c, "head."),
        student=Network(),
        dropped={"head.": CLASSIFIER},
        preprocessing=None,
        ask_preprocessing=_VIT_SCALES,
        ask_archs=_ASK_HEADS,
    ),
    Source(
        name="torchvision ViT",  # torchvision/models/vision_transformer.py
        recognise=lambda c: {"class_token", "conv_proj.weight", "encoder.pos_embedding"} <= c.keys(),
        student=Network(),
        dropped={"heads.": CLASSIFIER},
        naming=TORCHVISION_VIT,
        ask_archs=_ASK_HEADS,
    ),
    Source(
        name="DeiT",  # github.com/facebookresearch/deit: deit_small_patch16_224-*.pth
        recognise=lambda c: c.keys() == {"model"} and _vit(_entry(c, "model")) and _any(c["model"], "head."),
        student=Network(entry="model"),
        dropped={"head.": CLASSIFIER},
    ),
    Source(
        name="PyTorch ImageNet example",  # github.com/pytorch/examples: imagenet/main.py, in DataParallel
        recognise=lambda c: _resnet(_entry(c, "state_dict"), "module.") and _any(c["state_dict"], "module.fc."),
        student=Network(entry="state_dict", prefix="module."),
        dropped={"module.fc.": CLASSIFIER},
    ),
)

_SWAV_DROPPED = {"module.projection_head.": PROJECTION, "module.prototypes.": "prototypes"}

_METHODS = (
    Source(
        name="MoCo",  # v1 and v2, github.com/facebookresearch/moco: moco/builder.py
        recognise=lambda c: _resnet(_entry(c, "state_dict"), "module.encoder_q."),
        student=Network(entry="state_dict", prefix="module.encoder_q."),
        teacher=Network(entry="state_dict", prefix="module.encoder_k."),
        dropped={
            "module.encoder_q.fc.": PROJECTION,
            "module.encoder_k.fc.": PROJECTION,
            "module.queue": "queue of negatives",
        },
    ),
    Source(
        name="MoCo v3",  # github.com/facebookresearch/moco-v3: moco/builder.py, vits.py
        recognise=lambda c: _any(_entry(c, "state_dict"), "module.base_encoder."),
        student=Network(entry="state_dict", prefix="module.base_encoder."),
        teacher=Network(entry="state_dict", prefix="module.momentum_encoder."),
        dropped={
            "module.base_encoder.fc.": PROJECTION,
            "module.base_encoder.head.": PROJECTION,
            "module.momentum_encoder.fc.": PROJECTION,
            "module.momentum_encoder.head.": PROJECTION,
            "module.predictor.": "predictor",
        },
        other_archs={"deit_small": _SIX_OR_TWELVE_HEADS},
    ),
    Source(
        # github.com/tonylins/simclr-converter, whose eval.py says "do not have normalization"; torchvision's network
        # saved as {"state_dict": ...} has the same layout, counters of 0 included
        name="ResNet with classifier in state_dict",
        recognise=lambda c: (
            c.keys() == {"state_dict"} and _resnet(_entry(c, "state_dict")) and _any(c["state_dict"], "fc.")
        ),
        student=Network(entry="state_dict"),
        dropped={"fc.": CLASSIFIER},
        preprocessing=None,
        ask_preprocessing=_SUPERVISED_OR_SIMCLR,
    ),
    Source(
        name="SimCLR (PyTorch)",  # github.com/sthalles/SimCLR: simclr.py; its images are scaled by ToTensor alone
        recognise=lambda c: "arch" in c and _resnet(_entry(c, "state_dict"), "backbone."),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped={"backbone.fc.": PROJECTION},
        preprocessing=UNSCALED,
    ),
    Source(
        name="BYOL (PyTorch)",  # github.com/yaox12/BYOL-PyTorch: model/basic_modules.py, where "projetion" is its word
        recognise=lambda c: _any(_entry(c, "model"), "module.online_network.encoder."),
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
        recognise=lambda c: _resnet(c, "module.") and _any(c, "module.pro"),
        student=Network(prefix="module."),
        dropped=_SWAV_DROPPED,
    ),
    Source(
        name="SwAV or DeepCluster-v2 checkpoint",  # as main_swav.py writes it
        recognise=lambda c: (
            _resnet(_entry(c, "state_dict"), "module.") and _any(c["state_dict"], "module.projection_head.")
        ),
        student=Network(entry="state_dict", prefix="module."),
        dropped=_SWAV_DROPPED,
    ),
    Source(
        name="DINO",  # github.com/facebookresearch/dino: main_dino.py; without batch norm the teacher is not wrapped
        recognise=lambda c: _any(_entry(c, "student"), "module.backbone.") and _any(_entry(c, "teacher"), "backbone."),
        student=Network(entry="student", prefix="module.backbone."),
        teacher=Network(entry="teacher", prefix="backbone."),
        dropped={"module.head.": PROJECTION, "head.": PROJECTION},
        ask_archs=_ASK_HEADS,
        says_arch=_args_arch,
        default_network="teacher",  # eval_linear.py and eval_knn.py: --checkpoint_key teacher
    ),
    Source(
        name="DINO with batch norm",  # as above: its ResNets
        recognise=lambda c: (
            _any(_entry(c, "student"), "module.backbone.") and _any(_entry(c, "teacher"), "module.backbone.")
        ),
        student=Network(entry="student", prefix="module.backbone."),
        teacher=Network(entry="teacher", prefix="module.backbone."),
        dropped={"module.head.": PROJECTION},
        ask_archs=_ASK_HEADS,
        says_arch=_args_arch,
        default_network="teacher",
    ),
    Source(
        name="Barlow Twins",  # github.com/facebookresearch/barlowtwins: main.py
        recognise=lambda c: _resnet(_entry(c, "model"), "module.backbone.") and _any(c["model"], "module.bn."),
        student=Network(entry="model", prefix="module.backbone."),
        dropped={"module.projector.": PROJECTION, "module.bn.": "batch norm of the loss"},
    ),
    Source(
        name="VICReg",  # github.com/facebookresearch/vicreg: main_vicreg.py
        recognise=lambda c: _resnet(_entry(c, "model"), "module.backbone.") and not _any(c["model"], "module.bn."),
        student=Network(entry="model", prefix="module.backbone."),
        dropped={"module.projector.": PROJECTION},
    ),
)

_OPENMMLAB_DROPPED = {
    "neck.": PROJECTION,
    "head.": "head",
    "encoder_q.": "the same backbone and its neck once more",  # DenseCL and MoCo of OpenSelfSup name it twice
    "encoder_k.": "momentum encoder",
    "target_net.": "target network",
    "queue": "queue of negatives",
}

_OPENMMLAB = (
    Source(
        name="OpenMMLab ResNet",  # mmpretrain, mmselfsup, mmcls, OpenSelfSup; DenseCL's training checkpoints
        recognise=lambda c: "arch" not in c and "backbone.conv1.weight" in _entry(c, "state_dict"),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped=_OPENMMLAB_DROPPED,
    ),
    Source(
        name="OpenMMLab ViT",  # mmpretrain/models/backbones/vision_transformer.py
        recognise=lambda c: "backbone.patch_embed.projection.weight" in _entry(c, "state_dict"),
        student=Network(entry="state_dict", prefix="backbone."),
        dropped=_OPENMMLAB_DROPPED,
        naming=MMPRETRAIN_VIT,
        ask_archs=_ASK_HEADS,
    ),
    Source(
        # extract_backbone_weights.py of OpenSelfSup and DenseCL writes its author beside the state dict
        name="OpenSelfSup backbone",
        recognise=lambda c: isinstance(c.get("author"), str) and _resnet(_entry(c, "state_dict")),
        student=Network(entry="state_dict"),
    ),
)

SOURCES: tuple[Source, ...] = (*_OURS, *_PLAIN, *_METHODS, *_OPENMMLAB)


def some_keys(keys: Collection[str], count: int = 4) -> str:
    """A few keys, for messages."""
    shown = ", ".join(repr(str(key)[:60])[1:-1] for key in list(keys)[:count])
    return (shown or "nothing") + (", …" if len(keys) > count else "")


def recognise(checkpoint: Checkpoint, where: str) -> Source:
    """The one row that this checkpoint fits.

    Args:
        checkpoint: what was in the file.
        where: the file, for the message.

    Raises:
        UserError: no row fits, or more than one.
    """
    fitting = [source for source in SOURCES if source.recognise(checkpoint)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " and of ".join(source.name for source in fitting)
        raise UserError(f"{where} is ambiguous, it has the layout of {names}: save only one of them")
    inside = [f"{name} holds {some_keys(entry)}" for name, entry in checkpoint.items() if isinstance(entry, Mapping)]
    seen = "; ".join([f"its keys begin with {some_keys(checkpoint)}", *inside[:2]])
    raise UserError(
        f"{where} has no known layout ({seen}): save its backbone's state dict alone, or add a row to the table of "
        f"layouts (CONTRIBUTING.md)"
    )
