#!/bin/sh
# Makes the demo checkpoint from nothing: speech, training, export, alignment heads, measurements.
#   sh make.sh [WORK FOLDER]
# Needs espeak-ng 1.51 and the packages of requirements.txt (PYTHON names the interpreter), 2 cores, 4 GB of memory.
# A stopped run goes on where it was when started again with the same folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-demo-work}"
work=$(cd "${1:-demo-work}" && pwd)
python=${PYTHON:-python3}
export OMP_NUM_THREADS=1
cd "$here"
test -e "$work/train.jsonl" || "$python" synth.py --data "$work"
test -e "$work/run/average.pt" || "$python" train.py --data "$work" --out "$work/run"
"$python" export.py --weights "$work/run/average.pt" --out "$work/checkpoint"
"$python" alignment.py --data "$work" "$work/checkpoint"
"$python" evaluate.py --data "$work" "$work/checkpoint"
echo "the checkpoint is in $work/checkpoint; copy it over $(dirname "$here") to ship it"
