#!/usr/bin/env bash
# Hot spots against plain implementations: bench.sh [augmentation|loss|lars|step|coco-metrics|matching|linear ...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start tools.bench.main "$@"
