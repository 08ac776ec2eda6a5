#!/usr/bin/env bash
# Linear evaluation against scikit-learn's path and against SGD probing: bench_linear.sh [--images N]
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/bench.sh" linear "$@"
