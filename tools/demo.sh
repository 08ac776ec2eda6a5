#!/usr/bin/env bash
# From nothing to a five-trial report on embedded data: set-up, data, TWIST, conversion, every benchmark, report.
set -euo pipefail

trials=
out=runs
quick=
usage() {
  cat <<'HELP'
usage: tools/demo.sh [--quick] [--trials N] [--out DIR]

Sets up .venv, writes real handwritten digits in the layouts of ImageFolder, VOC and COCO, pre-trains a small ResNet
with TWIST on them, converts it with proof to Detectron2 and MMSegmentation, runs eleven benchmarks from these weights
and from random ones, the cheap ones first, and writes the report, anew after each benchmark. Ten to fifteen minutes on
two cores, no GPU, no download of data.

  --quick     the four cheapest benchmarks with three trials: less than four minutes after set-up
  --trials N  trials of each benchmark and initialisation (default 5, with --quick 3)
  --out DIR   where everything goes (default runs): DIR/pretrain/demo, DIR/demo/<benchmark>/..., DIR/demo/report.html

Kill it at any moment and start it again: it resumes where it was, also after --quick without it. Finished, it changes
nothing.
HELP
}
value() { # of an option
  [[ "${2:-}" ]] || { echo "error: $1 needs a value; tools/demo.sh --help says more" >&2 && exit 2; }
}
while [[ $# -gt 0 ]]; do
  case "$1" in
    --quick) quick=yes && shift ;;
    --trials) value "$@" && trials=$2 && shift 2 ;;
    --out) value "$@" && out=$2 && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) echo "error: unknown argument '$1' for tools/demo.sh: known are --quick, --trials N, --out DIR" >&2 && exit 2 ;;
  esac
done
if [[ "$trials" && ! "$trials" =~ ^[1-9][0-9]*$ ]]; then
  echo "error: --trials is '$trials': give a whole number from 1 up" >&2
  exit 2
fi

tools=$(dirname "${BASH_SOURCE[0]}")
"$tools/setup.sh"
source "$tools/_env.sh"
exec "$PYTHON" -m transfer.commands.demo ${quick:+--quick} ${trials:+--trials "$trials"} --out "$out"
