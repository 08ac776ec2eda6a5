#!/usr/bin/env bash
# Linear evaluation against scikit-learn's path and against SGD probing: bench_linear.sh [--images N]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
exec "$PYTHON" -m tools.bench.linear "$@"
