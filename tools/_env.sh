# shellcheck shell=bash disable=SC2034
# Sourced by every launcher: finds the repository and its .venv, leaves the working directory alone.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON="$ROOT/.venv/bin/python"
if [[ ! -f "$ROOT/.venv/.complete" ]]; then
  echo "error: $ROOT/.venv is not set up: run tools/setup.sh first (one to ten minutes)" >&2
  exit 2
fi
shopt -s extglob
PYTHONPATH="$ROOT:${PYTHONPATH:-}"
PYTHONPATH="${PYTHONPATH//+(:)/:}" # an empty entry would be the current folder
export PYTHONPATH="${PYTHONPATH%:}"
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore}"
start() { # MODULE ARGUMENT ...: as `python -m`, but nothing is imported from the current folder
  exec "$PYTHON" "$ROOT/twist_common/start.py" -m "$@"
}
