# shellcheck shell=bash disable=SC2034
# Sourced by every launcher: finds the repository and its .venv, leaves the working directory alone.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON="$ROOT/.venv/bin/python"
if [[ ! -f "$ROOT/.venv/.complete" ]]; then
  echo "error: $ROOT/.venv is not set up: run tools/setup.sh first (one to ten minutes)" >&2
  exit 2
fi
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONSAFEPATH=1 # nothing is imported from the current folder (Python 3.11 on)
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore}"
