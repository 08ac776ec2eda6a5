#!/usr/bin/env bash
# Hot spots of pre-training against textbook implementations: bench.sh [augmentation] [loss] [lars] [step]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
exec "$PYTHON" -m tools.bench.main "$@"
