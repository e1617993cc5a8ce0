#!/bin/sh
# The shipped model: readers without an encoder. Needs scikit-learn; a few minutes on one core.
set -eu
data="${1:-../shared/data}"
python -m models.build --data "$data"
python -m models.compare --data "$data" --model src/candor_guard/detectors/encoder/weights
