#!/usr/bin/env bash
# Records to Markdown, HTML, CSV, LaTeX, JSON; --verify, --pack: report.sh RUNS_DIR|ARCHIVE...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
start transfer.commands.report "$@"
