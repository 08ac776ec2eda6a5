#!/usr/bin/env bash
# Writes the embedded data in the true on-disk layouts: demo_data.sh [--out DIR]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start twist_common.digits "$@"
