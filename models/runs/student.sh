#!/bin/sh
# A student with four layers of a model folder with six, as version 7 was made of version 6: two and a half
# hours on two cores. STUDENT names a run to go on from, and leaves the first step out.
set -eu
teacher="${1:?a model folder with an encoder of six layers}"
data="${2:-../shared/data}"
work="${3:-build/student}"
python -m models.restore --model "$teacher" --out "$work/teacher"
student="${STUDENT:-$work/first}"
if [ -z "${STUDENT:-}" ]; then
    python -m models.train --data "$data" --start "$work/teacher" --teacher "$work/teacher" --layers 0 2 3 5 \
        --compare 0 --rate 2.5e-4 --minutes 64 --seed 201 --out "$student"
fi
for seed in 211 212; do
    python -m models.train --data "$data" --start "$student" --teacher "$work/teacher" --compare 0 --rate 2e-4 \
        --minutes 66 --seed "$seed" --threads 1 --out "$work/taught-$seed" &
done
wait
python -m models.average --out "$work/taught" "$work/taught-211" "$work/taught-212"
python -m models.train --data "$data" --start "$work/taught" --compare 0 --rate 1.2e-4 --minutes 25 --seed 311 --threads 1 \
    --out "$work/alone"
python -m models.average --out "$work/mean" "$work/taught" "$work/alone"
python -m models.build --data "$data" --encoder "$work/mean" --out "$work/model"
