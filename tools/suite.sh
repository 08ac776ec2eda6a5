#!/usr/bin/env bash
# All benchmarks of a suite from several initialisations: suite.sh demo, suite.sh paper [NAME=]CKPT ...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.suite "$@"
