#!/bin/sh
# The shipped model: readers and encoder. Needs the training extra; 100 minutes on one core.
set -eu
data="${1:-../shared/data}"
work="${2:-build/models}"
minutes="${MINUTES:-85}"
python -m models.train --data "$data" --out "$work/run" --minutes "$minutes" --compare 0.1 --threads 1
python -m models.build --data "$data" --encoder "$work/run"
python -m models.compare --data "$data" --model src/candor_guard/detectors/encoder/weights
