#!/usr/bin/env bash
# TWIST pre-training: pretrain.sh RECIPE [--data DIR] [--out DIR] [key=value ...]; uses all visible GPUs, or one CPU process.
# On several machines: `--launcher slurm --nodes N` (docs/slurm.md); inside a Slurm allocation, `srun --ntasks-per-node=1
# tools/pretrain.sh ...`; otherwise set NNODES, NODE_RANK and MASTER_ADDR on each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start pretrain.launch "$@"
