#!/usr/bin/env bash
# Proof-carrying conversion: convert.sh CKPT [--to detectron2|mmseg|torchvision|timm|all]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.convert "$@"
