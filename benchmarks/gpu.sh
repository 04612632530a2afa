#!/usr/bin/env bash
# All that is to be measured on a CUDA machine, in one command: bash benchmarks/gpu.sh [OUT]. Needs torch and this
# package's dependencies; no data. Writes one JSON a benchmark. DEVICE=cpu FRAMES=3 REPEATS=1 SLOTS=2 tries it without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-benchmarks/results}
device=${DEVICE:-cuda}
mkdir -p "$out"
for dtype in float32 bfloat16 float16; do
    python -m benchmarks.track --device "$device" --dtype "$dtype" --slots "${SLOTS:-64}" --frames "${FRAMES:-31}" \
        --repeats "${REPEATS:-3}" --json "$out/track-$device-$dtype.json"
done
