#!/usr/bin/env bash
# Installs requirements.lock into .venv, checking the hash of every file. When all is done already, it takes a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'HELP'
usage: tools/setup.sh [--force]

Installs everything the suite needs into .venv: PyTorch, Detectron2, MMSegmentation, linters, tests.
Needs Python 3.10 to 3.13 (or set PYTHON=/path/to/python) and 7 GB of disk; takes one to ten minutes,
depending on the network. Does nothing if .venv is complete; rebuilds it if it is broken, unfinished or
older than requirements.lock. --force rebuilds it in any case.

To use your own build of Detectron2 (with compiled operators) or mmcv, see docs/install.md.
HELP
}

force=
for word in "$@"; do
  case "$word" in
    --force) force=yes ;;
    -h | --help) usage && exit 0 ;;
    *) echo "error: unknown argument '$word' for tools/setup.sh: known is --force" >&2 && exit 2 ;;
  esac
done

fail() { echo "setup: $*" >&2; exit 2; }

complete() {
  [[ -f .venv/.complete && "$(cat .venv/.complete)" == "$(stamp)" ]] || return 1
  .venv/bin/python tools/check_env.py
}

stamp() { cat requirements.lock tools/bootstrap.lock uv.toml | sha256sum | cut -d' ' -f1; }

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
  # $$ is the set-up, which may have been killed
  while sleep "${PROGRESS_SECONDS:-15}" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    echo "setup: $(du -sh .venv 2>/dev/null | cut -f1) of 7 GB are there after ${SECONDS} s" >&2
  done
}

if [[ ! "$force" ]] && complete 2>/dev/null; then exit 0; fi # a checkout that cannot be written to may be complete
[[ -w . ]] || fail "cannot write to $PWD, where .venv belongs: run it as the owner of the checkout, or make a clone of your own"
exec 9>.venv.lock
# Two set-ups at once: the second waits and finds it done. The installer of one that was killed ends first.
if command -v flock >/dev/null && ! flock --nonblock 9; then
  echo "setup: another set-up of this .venv is at work; waiting for its end" >&2
  flock 9
fi
if [[ ! "$force" ]] && complete; then exit 0; fi

python=$(find_python)
echo "setup: making .venv with $("$python" --version): 7 GB to install, one to ten minutes" >&2
show_progress 9>&- &
watcher=$!
trap 'kill "$watcher" 2>/dev/null || true' EXIT
rm -f .venv/.complete # first: a removal that is cut off leaves no complete one
rm -rf .venv
"$python" -m venv .venv || fail "'$python -m venv' failed; on Debian or Ubuntu: apt-get install python3-venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/bootstrap.lock
VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
.venv/bin/python tools/check_env.py || fail ".venv is incomplete after installation; see the line above"
stamp >.venv/.complete
echo "setup: done in ${SECONDS} s" >&2
