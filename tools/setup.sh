#!/usr/bin/env bash
# Makes .venv from requirements.lock, every file checked by its hash. Run again it takes a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  cat <<'HELP'
usage: tools/setup.sh [--force]

Makes .venv with everything the suite needs: PyTorch, Detectron2, MMSegmentation, linters, tests.
Needs Python 3.10 to 3.13 (or set PYTHON=/path/to/python) and 7 GB of disk; takes one to ten minutes,
as the network allows. Does nothing when .venv is complete; rebuilds it when it is broken, half made or
older than requirements.lock. --force rebuilds it in any case.

A build of your own (official Detectron2 with compiled ops, full mmcv): see docs/install.md.
HELP
  exit 0
fi

fail() { echo "setup: $*" >&2; exit 2; }

complete() {
  [[ -f .venv/.complete && "$(cat .venv/.complete)" == "$(stamp)" ]] || return 1
  .venv/bin/python tools/check_env.py
}

stamp() { cat requirements.lock tools/bootstrap.lock pyproject.toml | sha256sum | cut -d' ' -f1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.10 python; do
    [[ -n "$candidate" ]] || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.10 to 3.13 found on PATH; install one, or name it: PYTHON=/path/to/python tools/setup.sh"
}

show_progress() { # on a slow disk it takes minutes, in which the installer says nothing
  while sleep "${PROGRESS_SECONDS:-15}" >/dev/null 2>&1; do
    echo "setup: $(du -sh .venv 2>/dev/null | cut -f1) of 6 GB are there after ${SECONDS} s" >&2
  done
}

exec 9>.venv.lock
if command -v flock >/dev/null; then flock 9; fi # two set-ups at once: the second waits and finds it done
if [[ "${1:-}" != --force ]] && complete; then exit 0; fi

python=$(find_python)
echo "setup: making .venv with $("$python" --version): 6 GB to install, one to ten minutes" >&2
show_progress 9>&- &
watcher=$!
trap 'kill "$watcher" 2>/dev/null || true' EXIT
rm -rf .venv
"$python" -m venv .venv || fail "'$python -m venv' failed; on Debian or Ubuntu: apt-get install python3-venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/bootstrap.lock
VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
.venv/bin/python tools/check_env.py || fail ".venv is incomplete after installation; see the line above"
stamp >.venv/.complete
echo "setup: done in ${SECONDS} s" >&2
