"""Where the official values were looked up: each file as of one commit or release."""

from __future__ import annotations

_TWIST = "https://github.com/bytedance/TWIST/blob/796d36e4ce0dfac99358224b34dab899505cc92c"
_D2 = "https://github.com/facebookresearch/detectron2/blob/v0.6"
_MMSEG = "https://github.com/open-mmlab/mmsegmentation/blob"
_COCO = f"{_TWIST}/detection/infomin_configs"
_VOC = f"{_TWIST}/detection/voc_fpn_1fc"
_MOCO = "https://github.com/facebookresearch/moco/blob/34020351524e9869f76cbb81fadcdb77caa32f7b/detection/configs"

# key to (how the table calls it, its address)
SOURCES = {
    "commands": ("README", f"{_TWIST}/README.md"),
    "train": ("train.py", f"{_TWIST}/train.py"),
    "augmentation": ("augmentation.py", f"{_TWIST}/augmentation.py"),
    "engine": ("engine.py", f"{_TWIST}/engine.py"),
    "lars": ("lars.py", f"{_TWIST}/lars.py"),
    "utils": ("utils.py", f"{_TWIST}/utils.py"),
    "evaluate": ("evaluate.py", f"{_TWIST}/evaluate.py"),
    "evaluate vit": ("evaluate_vitlinear.py", f"{_TWIST}/evaluate_vitlinear.py"),
    "simclr": ("SimCLR, B.8.1", "https://arxiv.org/abs/2002.05709"),
    "simclr data": (
        "SimCLR's data_util.py",
        "https://github.com/google-research/simclr/blob/244e7128004c5fd3c7805cf3135c79baa6c3bb96/data_util.py",
    ),
    "vit": ("vision_transformer.py", f"{_TWIST}/vision_transformer.py"),
    "byol": ("BYOL, appendix D", "https://arxiv.org/abs/2006.07733"),
    "voc": ("voc_fpn_1fc", f"{_VOC}/pascal_voc_R_50_FPN_24k.yaml"),
    "voc input": ("voc_fpn_1fc infomin", f"{_VOC}/pascal_voc_R_50_FPN_24k_infomin.yaml"),
    "voc base": ("voc_fpn_1fc base", f"{_VOC}/Base-RCNN-FPN.yaml"),
    "coco": ("R_50_FPN_1x", f"{_COCO}/R_50_FPN_1x.yaml"),
    "coco input": ("R_50_FPN_1x_infomin", f"{_COCO}/R_50_FPN_1x_infomin.yaml"),
    "coco base": ("infomin base", f"{_COCO}/Base-RCNN-FPN.yaml"),
    "c4 base": ("MoCo's base", f"{_MOCO}/Base-RCNN-C4-BN.yaml"),
    "voc c4": ("MoCo's VOC", f"{_MOCO}/pascal_voc_R_50_C4_24k.yaml"),
    "voc c4 moco": ("MoCo's VOC input", f"{_MOCO}/pascal_voc_R_50_C4_24k_moco.yaml"),
    "coco c4": ("MoCo's COCO", f"{_MOCO}/coco_R_50_C4_2x.yaml"),
    "coco c4 moco": ("MoCo's COCO input", f"{_MOCO}/coco_R_50_C4_2x_moco.yaml"),
    "d2": ("Detectron2's defaults", f"{_D2}/detectron2/config/defaults.py"),
    "fpn_r50": ("fpn_r50", f"{_MMSEG}/v1.2.2/configs/_base_/models/fpn_r50.py"),
    "fcn voc": ("fcn voc12aug", f"{_MMSEG}/v1.2.2/configs/fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py"),
    "fcn 769": ("fcn 769", f"{_MMSEG}/v1.2.2/configs/fcn/fcn_r50-d8_4xb2-40k_cityscapes-769x769.py"),
    "fpn 769": (
        "sem_fpn 769",
        f"{_MMSEG}/55cb9e67e1ddbb5c93f7d7e12e01b628be664f0b/configs/sem_fpn/fpn_r50_769x769_40k_cityscapes.py",
    ),
    "cityscapes": ("cityscapes", f"{_MMSEG}/v1.2.2/configs/_base_/datasets/cityscapes.py"),
    "data 769": ("cityscapes_769x769", f"{_MMSEG}/v1.2.2/configs/_base_/datasets/cityscapes_769x769.py"),
    "data aug": ("pascal_voc12_aug", f"{_MMSEG}/v1.2.2/configs/_base_/datasets/pascal_voc12_aug.py"),
    "fpn ade20k": (
        "sem_fpn ade20k",
        f"{_MMSEG}/v1.2.2/configs/sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py",
    ),
    "ade20k": ("ade20k", f"{_MMSEG}/v1.2.2/configs/_base_/datasets/ade20k.py"),
    "dinov2 linear": (
        "DINOv2's ADE20K linear, a copy",
        "https://github.com/BrianPulfer/robustness-tokens/blob/b1af51e358518690d6da699f1a196a3b352c23bc/configs/eval/"
        "segmentation/original_confs/dinov2_vits14_ade20k_linear_config.py",
    ),
    "dinov2 head": (
        "DINOv2's BNHead",
        "https://github.com/facebookresearch/dinov2/blob/7c503b3e8bc1ab4cddb0bf4f925cf663dd213e4e/dinov2/eval/"
        "segmentation/models/decode_heads/linear_head.py",
    ),
    "dinov2 depth": (
        "DINOv2's NYU linear, a copy",
        "https://github.com/Jiawei-Yang/Denoising-ViT/blob/2d08bd84c5188314fb599e48858ca5d422395777/evaluation/configs/"
        "vitb_nyu_linear_config.py",
    ),
    "dinov2 depther": (
        "DINOv2's depthers",
        "https://github.com/facebookresearch/dinov2/blob/5b0e833ea5f9fd9ba5442e767ac5fe752a7002e4/dinov2/hub/depthers.py",
    ),
    "dinov2 sigloss": (
        "DINOv2's SigLoss",
        "https://github.com/facebookresearch/dinov2/blob/d5c376b5b303c9fed6ac3e1bd987e8a6e51317ee/dinov2/eval/depth/"
        "models/losses/sigloss.py",
    ),
    "depth crop": (
        "the depth toolbox's transforms",
        "https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox/blob/"
        "6f18fb8f1a198e8fd80ec87e88ab2da5d376f4ad/depth/datasets/pipelines/transforms.py",
    ),
    "depth toolbox": (
        "the depth toolbox's NYU data",
        "https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox/blob/"
        "b3df83fe70aefed71143c43d51e8b3538c705367/depth/datasets/nyu.py",
    ),
    "160k": ("schedule_160k", f"{_MMSEG}/v1.2.2/configs/_base_/schedules/schedule_160k.py"),
    "20k": ("schedule_20k", f"{_MMSEG}/v1.2.2/configs/_base_/schedules/schedule_20k.py"),
    "40k": ("schedule_40k", f"{_MMSEG}/v1.2.2/configs/_base_/schedules/schedule_40k.py"),
}
