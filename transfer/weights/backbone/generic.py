"""The layouts that no row of the table names: one known network under known wrappers, beside known heads.

The rule is as strict as a row: entry, prefix and every dropped key consist of the words below; one network fits, or two
of which one is by its name the other's moving average. What no rule names stays and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from transfer.weights.backbone.codes import code_of
from transfer.weights.backbone.families import NETWORKS_FIRST, Family, family_of
from transfer.weights.backbone.marks import ASK_HEADS, CLASSIFIER, PROJECTION, SUPERVISED_OR_SIMCLR, has_any
from transfer.weights.backbone.naming import SEQUENTIAL_RESNET
from transfer.weights.backbone.types import Checkpoint, Network, Source

OF_ANY = ("net", "network", "backbone", "backbone_state_dict", "encoder", "model_state")
"""Entries of codes that scale images differently: PySlowFast's by 0.45 and 0.225 (slowfast/config/defaults.py)."""
# where codes put the state dict; the second group are moving averages (timm's train.py, torchvision's references, iBOT)
ENTRIES = (
    *(None, "state_dict", "model", "module", "model_state_dict", "model/state_dict"),
    *("classy_state_dict/base_model/model/trunk", *OF_ANY),
)
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "teacher", "target_encoder")
UNKNOWN_CODE = "which code wrote it is not known"
STUDENTS = ("student_backbone", "anchor_backbone", "student_embedding_model")
"""lightly's and lightly-train's names of what is trained; a "backbone" beside it is its moving average."""
WRAPPERS = (
    *(
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "encoder",
        "backbone",
        "base_encoder",
        "encoder_q",
        "model",
        "_feature_blocks",
    ),
    *("vit", "embedding_model", "wrapped_model", "_model", "_features"),  # lightly, lightly-train
    *("net", "resnet", "online_network", "visual"),  # the last ones are lightning-bolts' BYOL's and CLIP's
    *STUDENTS,
)
MOMENTUM = (
    *("momentum_backbone", "momentum_encoder", "encoder_k", "teacher_backbone", "backbone_momentum"),
    *("teacher_embedding_model", "target_network"),
)
DROPPED = {
    **dict.fromkeys(("fc", "classifier", "head", "heads", "head_dist", "linear", "last_linear"), CLASSIFIER),
    **dict.fromkeys(("projector", "projection_head", "projection_heads", "predictor", "prototypes"), PROJECTION),
    **dict.fromkeys(("projection", "head_dense", "student_prediction_head"), PROJECTION),  # bolts, EsViT, lightly
    # SlotCon
    **dict.fromkeys(("projector_q", "projector_k", "predictor_slot", "grouping_q", "grouping_k"), PROJECTION),
    **dict.fromkeys(
        ("dino_head", "ibot_head", "prediction_head", "student_head", "student_projection_head"), PROJECTION
    ),
    **dict.fromkeys(
        ("momentum_projector", "momentum_predictor", "momentum_classifier", "momentum_head"),
        "the moving average's head",
    ),
    **dict.fromkeys(("teacher_head", "teacher_projection_head", "projection_head_momentum"), "the teacher's head"),
    "online_classifier": CLASSIFIER,
    "neck": PROJECTION,  # mmpretrain, SimMIM's decoder
    **dict.fromkeys(("criterion", "dino_loss", "ibot_loss", "koleo_loss", "center"), "state of the loss"),
    **dict.fromkeys(("queue", "queue_ptr", "queues", "val_queue", "val_queue_ptr"), "queue of negatives"),
    **dict.fromkeys(
        ("decoder_pos_embed", "decoder_embed", "decoder_blocks", "decoder_norm", "decoder_pred", "decoder"), "decoder"
    ),
    **dict.fromkeys(("mask_token", "masked_embed"), "mask token"),
    "n_averaged": "count of averaged networks",
}


def generic_source(checkpoint: Checkpoint) -> Source | None:
    """The row that this checkpoint would have; None where the rule fits no network, or more than one."""
    plain, average = _networks(checkpoint)
    if len(plain) > 1 or len(average) > 1 or not (plain or average):
        return None
    student = plain[0] if plain else Network(entry="student")
    teacher = average[0] if average else None
    if teacher and teacher.entry == student.entry and teacher.prefix.startswith(student.prefix):
        return None  # one lies within the other
    found = (plain or average)[0]
    state = found.state_of(checkpoint)
    family = family_of(state, found.prefix)
    assert family is not None, "a network is found by its family"
    code = code_of(checkpoint, state)
    alone = checkpoint.keys() == {"state_dict"} and has_any(state, found.prefix + "fc.")
    # RadImageNet's ResNets are sequences too, fed by Keras's preprocess_input: BMEII-AI/RadImageNet, acl/acl_train.py
    of_any = found.entry in OF_ANY or bool({"net", "resnet"} & set(found.prefix.split(".")))
    of_any |= code is None and family.naming is SEQUENTIAL_RESNET
    place = " and ".join(dict.fromkeys(f"{network.entry}" for network in (*plain, *average) if network.entry))
    place = f"{family.name} in {place or 'wrappers'}" if place or found.prefix else family.name
    names_student = bool(plain) and (bool(set(student.prefix.split(".")) & set(STUDENTS)) or student.entry == "encoder")
    return Source(
        name=code.name if code else place,
        recognise=lambda c: generic_source(c) is not None,
        student=student,
        teacher=teacher,
        dropped={key: why for network in (*plain, *average) for key, why in _dropped(network, family, checkpoint)},
        preprocessing=(code and code.preprocessing) or (None if alone or of_any else family.preprocessing),
        preprocessing_entry=code.preprocessing_entry if code else None,
        ask_preprocessing=SUPERVISED_OR_SIMCLR if alone else UNKNOWN_CODE if of_any else family.ask_preprocessing,
        archs=code.archs if code else {},
        ask_archs={} if family.name == "DINOv2" or (code and code.fixes_heads) else ASK_HEADS,
        default_network="teacher" if teacher and (names_student or not plain) else "student",
        published_alone=code is None or code.preprocessing is None,
    )


def _networks(checkpoint: Checkpoint) -> tuple[list[Network], list[Network]]:
    """Those of known families under known words: the trained ones, and their moving averages by name."""
    found: list[tuple[Network, set[str]]] = []
    for entry in (*ENTRIES, *AVERAGES):
        state = Network(entry=entry).state_of(checkpoint)
        if not isinstance(state, Mapping):
            continue
        keys = [str(key) for key in state]
        prefixes = [key.removesuffix(first) for key in keys for first in NETWORKS_FIRST if key.endswith(first)]
        for prefix in dict.fromkeys(prefixes):
            words = set(prefix.split(".")[:-1])
            whole = prefix == "" or prefix.endswith(".")
            if whole and words <= {*WRAPPERS, *MOMENTUM} and family_of(state, prefix) is not None:
                found.append((Network(entry=entry, prefix=prefix), words))
    names_student = any(words & set(STUDENTS) for _, words in found)
    average = [
        network
        for network, words in found
        if network.entry in AVERAGES or words & set(MOMENTUM) or (names_student and not words & set(STUDENTS))
    ]
    return [network for network, _ in found if network not in average], average


def _dropped(network: Network, family: Family, checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    for key in map(str, network.state_of(checkpoint)):
        words = key.split(".")
        depth = 0
        while depth < len(words) - 1 and words[depth] in {*WRAPPERS, *MOMENTUM}:
            depth += 1
        if key.startswith(network.prefix) and key.removeprefix(network.prefix).startswith(family.kept):
            continue
        if reason := DROPPED.get(words[depth]) or family.beside.get(words[depth]):
            beginning = ".".join(words[: depth + 1]) + ("." if depth < len(words) - 1 else "")
            yield (key if family.kept else beginning), reason
