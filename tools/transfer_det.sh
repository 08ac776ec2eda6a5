#!/usr/bin/env bash
# Detection and instance segmentation with Detectron2: transfer_det.sh voc|coco|voc-c4|coco-c4|demo-voc|demo-coco|own-coco|own-voc CKPT
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.transfer_det "$@"
