#!/usr/bin/env bash
# Classification, linear and fine-tuned: transfer_cls.sh demo|linear11|dtd-linear CKPT
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.transfer_cls "$@"
