#!/bin/sh
# The readers without an encoder, as a model folder of their own. A few minutes on one core.
set -eu
data="${1:-../shared/data}"
work="${2:-build/models}"
python -m models.build --data "$data" --out "$work/relation"
python -m models.compare --data "$data" --model "$work/relation"
