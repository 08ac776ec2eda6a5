#!/usr/bin/env bash
# From nothing to a five-trial report on embedded data: set-up, data, TWIST, conversion, every benchmark, report.
set -euo pipefail

trials=
out=runs
quick=
usage() {
  cat <<'HELP'
usage: tools/demo.sh [--quick] [--trials N] [--out DIR]

Sets up .venv, writes real handwritten digits in the layouts of ImageFolder, VOC and COCO, and pre-trains a small ResNet
on them with TWIST. Converts it, with proof, to Detectron2 and MMSegmentation, runs eleven benchmarks from these weights
and from random ones, starting with the cheap ones, and updates the report after each. Takes ten to twenty minutes on two
cores; needs no GPU and downloads no data.

  --quick     only the four cheapest benchmarks, three trials each: about three minutes after set-up
  --trials N  trials of each benchmark and initialisation (default 5, with --quick 3)
  --out DIR   where everything goes (default runs): DIR/pretrain/demo, DIR/demo/<benchmark>/..., DIR/demo/report.html

Kill it at any moment and start it again: it resumes where it stopped, also from --quick to the full demo. When all is
done, it changes nothing.
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
start transfer.commands.demo ${quick:+--quick} ${trials:+--trials "$trials"} --out "$out"
