#!/usr/bin/env bash
# All that is to be measured on a CUDA machine, in one command of less than 9 minutes: bash benchmarks/gpu.sh [OUT].
# Needs a python3 with torch (PYTHON=... names another) and no data. Packages that are missing are installed into a
# folder that goes away again: from the network, or from a folder of wheels, WHEELS=FOLDER, theirs and what they need.
# Writes one JSON a benchmark, a line as soon as it is measured; one that fails is said, the others go on.
# DEVICE=cpu REDUCED=1 tries it without a GPU.
set -uo pipefail
root=$(dirname "$(realpath "$0")")/..
out=$(realpath -m "${1:-$root/benchmarks/results}")
wheels=${WHEELS:+$(realpath "$WHEELS")}
python=$(command -v "${PYTHON:-python3}") || exit 1
case $python in /*) ;; *) python=$PWD/$python ;; esac
device=${DEVICE:-cuda}
cd "$root" && mkdir -p "$out" || exit 1
failed=0
seconds=50 # a benchmark may take

"$python" - "$device" <<'END' || exit 1
import sys
import torch  # which takes long the first time
if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    sys.exit("a CUDA device must be here, torch sees none: install a build of torch for CUDA, or try DEVICE=cpu REDUCED=1")
END
missing=$("$python" - <<'END'
from importlib.util import find_spec
names = {"numpy": "numpy", "cv2": "opencv-python-headless", "yaml": "pyyaml", "pydantic": "pydantic", "optuna": "optuna",
         "joblib": "joblib", "tqdm": "tqdm", "tensorboardX": "tensorboardX", "matplotlib": "matplotlib",
         "skimage": "scikit-image"}
print(*(package for name, package in names.items() if find_spec(name) is None))
END
)
if [ -n "$missing" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
    if [ -n "$wheels" ]; then
        "$python" -m pip install --quiet --no-index --no-deps --target "$site" "$wheels"/*.whl || exit 1
    else # shellcheck disable=SC2086
        "$python" -m pip install --quiet --target "$site" --constraint requirements.txt $missing || exit 1
    fi
fi

measure() { # name, module, options: of which none may hold up the others
    echo "== $1"
    timeout -k 5 "$seconds" "$python" -m "benchmarks.$2" --device "$device" --json "$out/$1-$device.json" "${@:3}" || {
        echo "$1: failed, or took too long" >&2
        failed=1
    }
}

if [ -n "${REDUCED:-}" ]; then
    track=(--slots 1 2 --frames 2 --repeats 1 --backend eager cudagraph)
    compiled=(--slots 1 --frames 2 --repeats 1 --case SiamFCRes22)
    train=(--width 0.125 --batch 2 --steps 1 --rounds 1 --crops 4 --side 287)
    stage=("${train[@]}")
    tune=(--width 0.125 --clips 2 --max_frames 3 --trials 2 --peer_trials 1 --slots 4)
    types="float32"
    precisions="fp32"
else
    track=(--slots 1 16 64 128 --frames 31 --repeats 3 --backend eager cudagraph)
    compiled=(--slots 1 64 --frames 31 --repeats 3 --case SiamFCRes22 "SiamRPNRes22 thinner")
    train=(--batch 64 --steps 10)
    stage=(--batch 256 --steps 10 --rounds 1 --workers 8)
    tune=(--clips 16 --max_frames 60 --trials 32 --peer_trials 1 --slots 256)
    types="bfloat16 float32 float16"
    precisions="fp32 bf16"
fi
for type in $types; do
    measure "track-$type" track --dtype "$type" --profile --plot "$out/track-$type-$device.svg" "${track[@]}"
done
measure train-bfloat16-first-stage train --amp --freeze paper --profile "${stage[@]}"
measure train-bfloat16 train --amp --profile "${train[@]}"
measure train-float32 train "${train[@]}"
for precision in $precisions; do
    measure "tune-$precision" tune --precision "$precision" "${tune[@]}"
done
seconds=100
measure track-compiled track --dtype "${types%% *}" --backend compiled "${compiled[@]}"
exit $failed
