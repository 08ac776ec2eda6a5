#!/usr/bin/env bash
# Sets up, then linters, types and tests. Its last line is pytest's. Arguments go to pytest: tools/test.sh -k loss
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  echo "usage: tools/test.sh [pytest arguments]

Set-up, ruff, shellcheck, mypy, then all tests (unit, numerics, integration with the real frameworks).
Under 20 minutes on two cores, two files of tests at a time (another number: TEST_PROCESSES=N).
A part: tools/test.sh tests/unit    One test: tools/test.sh -k resume"
  exit 0
fi

tools/setup.sh
source tools/_env.sh
bin="$ROOT/.venv/bin"
export OMP_NUM_THREADS=1 # two cores, many processes: spinning threads would be slower and not repeatable
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/shellcheck" -x tools/*.sh .ci/run
"$bin/mypy"
# A file's tests stay together: they share what is costly to make.
exec "$bin/python" -m pytest -n "${TEST_PROCESSES:-2}" --dist loadfile "$@"
