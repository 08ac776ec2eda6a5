"""Where the official values were looked up."""

from __future__ import annotations

_TWIST = "https://github.com/bytedance/TWIST/blob/main"
_D2 = "https://github.com/facebookresearch/detectron2/blob/main"
_INFOMIN = "https://github.com/HobbitLong/PyContrast/blob/master/pycontrast/detection/configs"
_MMSEG = "https://github.com/open-mmlab/mmsegmentation/blob"

# key to (how the table calls it, its address)
SOURCES = {
    "commands": ("README", f"{_TWIST}/README.md"),
    "train": ("train.py", f"{_TWIST}/train.py"),
    "augmentation": ("augmentation.py", f"{_TWIST}/augmentation.py"),
    "engine": ("engine.py", f"{_TWIST}/engine.py"),
    "lars": ("lars.py", f"{_TWIST}/lars.py"),
    "utils": ("utils.py", f"{_TWIST}/utils.py"),
    "evaluate": ("evaluate.py", f"{_TWIST}/evaluate.py"),
    "voc": ("voc_fpn_1fc", f"{_TWIST}/detection/voc_fpn_1fc/pascal_voc_R_50_FPN_24k.yaml"),
    "voc input": ("voc_fpn_1fc infomin", f"{_TWIST}/detection/voc_fpn_1fc/pascal_voc_R_50_FPN_24k_infomin.yaml"),
    "coco": ("R_50_FPN_1x", f"{_INFOMIN}/R_50_FPN_1x.yaml"),
    "coco input": ("R_50_FPN_1x_infomin", f"{_INFOMIN}/R_50_FPN_1x_infomin.yaml"),
    "fpn": ("Base-RCNN-FPN", f"{_D2}/configs/Base-RCNN-FPN.yaml"),
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
    "20k": ("schedule_20k", f"{_MMSEG}/v1.2.2/configs/_base_/schedules/schedule_20k.py"),
    "40k": ("schedule_40k", f"{_MMSEG}/v1.2.2/configs/_base_/schedules/schedule_40k.py"),
}
