#!/usr/bin/env bash
# TWIST with one thing changed at a time: ablate.sh nbs|terms|classes|epochs|multicrop [--data DIR] [key=value ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.ablate "$@"
