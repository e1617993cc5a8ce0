#!/bin/sh
# The shipped model: readers and encoder. Needs the training extra; 90 minutes on two cores.
# One trunk from the base encoder, three branches of it with seeds of their own, and their mean.
set -eu
data="${1:-../shared/data}"
work="${2:-build/models}"
minutes="${MINUTES:-80}"
python -m models.train --data "$data" --out "$work/trunk" --seed 1 --compare 0.15 \
    --minutes "$(echo "$minutes" | awk '{ print $1 * 0.34 }')"
for seed in 2 3 4; do
    python -m models.train --data "$data" --out "$work/branch-$seed" --start "$work/trunk" --seed "$seed" \
        --compare 0.03 --minutes "$(echo "$minutes" | awk '{ print $1 * 0.22 }')"
done
python -m models.seeds --data "$data" "$work/branch-2" "$work/branch-3" "$work/branch-4"
python -m models.average --out "$work/mean" "$work/branch-2" "$work/branch-3" "$work/branch-4"
python -m models.build --data "$data" --encoder "$work/mean"
python -m models.compare --data "$data" --model src/candor_guard/detectors/encoder/weights
