#!/usr/bin/env bash
# TWIST pre-training: pretrain.sh RECIPE [--data DIR] [--out DIR] [key=value ...]; all visible GPUs, or one CPU process.
# Several machines: `--launcher slurm --nodes N` (docs/slurm.md), within a Slurm allocation `srun --ntasks-per-node=1
# tools/pretrain.sh ...`, or NNODES, NODE_RANK and MASTER_ADDR on each.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
if [[ -n "${CUDA_VISIBLE_DEVICES:-}" ]]; then gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c .); fi
nodes="${NNODES:-${SLURM_NNODES:-1}}"
alone=("$PYTHON" -m pretrain.train)
if [[ "${*/=/ }" == *"--launcher slurm"* ]]; then exec "${alone[@]}" "$@"; fi # the nodes' GPUs count, not this machine's
if [[ " $* " == *" --help "* || " $* " == *" -h "* || " $* " == *" --plan "* ]]; then exec "${alone[@]}" "$@"; fi
if [[ "$nodes" -gt 1 ]]; then
  first="${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}"
  exec "$PYTHON" -m torch.distributed.run --nnodes="$nodes" --node-rank="${NODE_RANK:-${SLURM_NODEID:?set NODE_RANK}}" \
    --nproc-per-node="$((gpus > 0 ? gpus : 1))" --master-addr="$first" --master-port="${MASTER_PORT:-29500}" \
    -m pretrain.train "$@"
fi
if [[ "$gpus" -gt 1 ]]; then
  exec "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node="$gpus" -m pretrain.train "$@"
fi
exec "${alone[@]}" "$@"
