#!/bin/sh
# The same readers with the encoder. Needs the training extra; 60 minutes on two cores.
set -eu
data="${1:-../shared/data}"
work="${2:-build/models}"
python -m models.train --data "$data" --out "$work/run" --minutes 47 --threads 1
python -m models.build --data "$data" --encoder "$work/run" --out "$work/relation-minilm"
python -m models.compare --data "$data" --model "$work/relation-minilm"
