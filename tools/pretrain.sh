#!/usr/bin/env bash
# TWIST pre-training: pretrain.sh RECIPE [--data DIR] [--out DIR] [key=value ...]; all visible GPUs, or one CPU process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
if [[ -n "${CUDA_VISIBLE_DEVICES:-}" ]]; then gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c .); fi
if [[ "$gpus" -gt 1 && " $* " != *" --help "* && " $* " != *" -h "* ]]; then
  exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node="$gpus" -m pretrain.train "$@"
fi
exec "$PYTHON" -m pretrain.train "$@"
