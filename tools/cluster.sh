#!/usr/bin/env bash
# Unsupervised classification: cluster.sh demo|imagenet|folder CKPT
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.cluster "$@"
