#!/usr/bin/env bash
# A model folder with a card, written to disk: publish.sh CKPT|CONVERTED --report report.json --out DIR
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.publish "$@"
