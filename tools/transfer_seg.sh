#!/usr/bin/env bash
# Semantic segmentation with MMSegmentation: transfer_seg.sh voc|cityscapes|ade20k|demo|own-masks CKPT
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.transfer_seg "$@"
