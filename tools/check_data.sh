#!/usr/bin/env bash
# Is a data set complete and readable: check_data.sh voc|coco|cityscapes|imagenet|food101|... [--data DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.check_data "$@"
