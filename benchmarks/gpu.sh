#!/usr/bin/env bash
# All that is to be measured on a CUDA machine, in one command of less than 9 minutes: bash benchmarks/gpu.sh [OUT].
# Needs torch and this package's dependencies; no data. Writes one JSON a benchmark; one that fails is said, the others
# go on. DEVICE=cpu REDUCED=1 tries it without a GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-benchmarks/results}
device=${DEVICE:-cuda}
mkdir -p "$out"
failed=0

measure() { # name, module, options: of which none may hold up the others
    echo "== $1"
    timeout "${LIMIT:-65}" python -m "benchmarks.$2" --device "$device" --json "$out/$1-$device.json" "${@:3}" || {
        echo "$1: failed, or took too long" >&2
        failed=1
    }
}

if [ -n "${REDUCED:-}" ]; then
    track=(--slots 1 2 --frames 2 --repeats 1)
    train=(--width 0.125 --batch 2 --steps 1 --rounds 1 --crops 4 --side 287)
    tune=(--width 0.125 --clips 2 --max_frames 3 --trials 2 --peer_trials 1 --slots 4)
    types="float32"
    precisions="fp32"
else
    track=(--slots 1 16 64 128 --frames 31 --repeats 3)
    train=(--batch 64 --steps 10)
    tune=(--clips 16 --max_frames 60 --trials 32 --peer_trials 1 --slots 256)
    types="float32 bfloat16 float16"
    precisions="fp32 bf16"
fi
for type in $types; do
    measure "track-$type" track --dtype "$type" --plot "$out/track-$type-$device.svg" "${track[@]}"
done
measure train-float32 train "${train[@]}"
measure train-bfloat16 train --amp "${train[@]}"
measure train-bfloat16-first-stage train --amp --freeze paper "${train[@]}"
for precision in $precisions; do
    measure "tune-$precision" tune --precision "$precision" "${tune[@]}"
done
exit $failed
