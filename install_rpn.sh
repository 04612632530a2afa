#!/bin/sh
# Make the Python environment .venv beside this file and install everything that the project needs into it.
#
#   sh install_rpn.sh            the versions of requirements.txt from your package index (PyPI: PyTorch with CUDA)
#   sh install_rpn.sh --cpu      PyTorch without CUDA: a far smaller download
#   sh install_rpn.sh --cuda     PyTorch for CUDA 13.0; CUDA=cu126 or CUDA=cu132 before it choose another one
#   sh install_rpn.sh --print    only print the commands, with --cpu or --cuda theirs
#
# PYTHON=/path/to/python3 chooses the interpreter (3.11 or newer). Running it again is quick.
set -eu
cd "$(dirname "$0")"

say() { printf 'install: %s\n' "$*"; }
fail() { printf 'install_rpn.sh: %s\n' "$*" >&2; exit 2; }
usage() { sed -n '2,9s/^#//p' install_rpn.sh; }
run() {
    printf '+ %s\n' "$*"
    if [ -z "$only_print" ]; then "$@"; fi
}

only_print= index=
for option in "$@"; do
    case $option in
        --cpu) index=https://download.pytorch.org/whl/cpu ;;
        --cuda) index=https://download.pytorch.org/whl/${CUDA:-cu130} ;;
        --print) only_print=yes ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown option $option; known: --cpu, --cuda, --print, --help" ;;
    esac
done

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1 | head -n 1 || true)
    fail "needs Python 3.11 or newer, got ${found:-none}; name another: PYTHON=/path/to/python3 sh install_rpn.sh"
}

make_venv() {
    python=$(find_python)
    say "making .venv with $python"
    if run "$python" -m venv --clear .venv; then return; fi
    # Debian and Ubuntu split pip out of venv (package python3-venv); the system's pip can stand in
    say "this Python cannot put pip into .venv; trying the system's pip"
    if ! run "$python" -m venv --clear --without-pip .venv ||
        ! run "$python" -m pip --python .venv/bin/python install --quiet pip; then
        rm -rf .venv
        fail "needs Python's venv with pip: sudo apt install python3-venv, then run this again"
    fi
}

# a bare server lacks libGL or glib, without which opencv-python cannot be imported; its twin without windows can
make_cv2_importable() {
    if problem=$(.venv/bin/python -c 'import cv2' 2>&1); then return; fi
    case $problem in
        *"shared object file"* | *"file too short"*) ;;
        *) fail "OpenCV cannot be imported: $(printf '%s\n' "$problem" | tail -n 1)" ;;
    esac
    version=$(sed -n 's/^opencv-python==//p' requirements.txt)
    say "this machine lacks a library of the desktop: $(printf '%s\n' "$problem" | tail -n 1)"
    say "taking opencv-python-headless instead; for windows (--show) install libgl1 and libglib2.0-0, then delete .venv and run this again"
    run .venv/bin/python -m pip uninstall --quiet --yes opencv-python
    run .venv/bin/python -m pip install --quiet --force-reinstall --no-deps "opencv-python-headless==$version"
    .venv/bin/python -c 'import cv2' || fail "OpenCV cannot be imported, see above"
}

# what .venv was made from; the same again means that there is nothing to do. Another PyTorch needs a new .venv: pip
# takes any build of a version for that version
wanted=$(printf '%s\n' "$PWD" "$index" && cat requirements.txt pyproject.toml)
if [ -z "$only_print" ] && [ -f .venv/installed ] && [ "$wanted" = "$(cat .venv/installed)" ]; then
    say ".venv is up to date"
else
    say "installs the versions of requirements.txt and this project (editable) into .venv"
    built_from=$(sed -n 2p .venv/installed 2>/dev/null || true)
    if [ -n "$only_print" ] || [ "$index" != "$built_from" ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    run .venv/bin/python -m pip install ${index:+--extra-index-url "$index"} -r requirements.txt
    run .venv/bin/python -m pip install --quiet --no-deps --editable .
    if [ -z "$only_print" ]; then
        make_cv2_importable
        printf '%s\n' "$wanted" >.venv/installed
    fi
fi
say "done; activate it with: . .venv/bin/activate"
