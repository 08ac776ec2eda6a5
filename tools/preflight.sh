#!/usr/bin/env bash
# The first hour on a machine: preflight.sh [CHECK ...] runs every path at small size on its devices, in five minutes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start tools.first_hour.main "$@"
