#!/bin/sh
# What `make setup` does. Safe to run again; needs the Python package index, and Debian's packages
# only where a system library is missing.
set -eu

VENV="${VENV:-.venv}"

# open3d loads these at import; a headless machine usually lacks them.
libraries="libgl1 libegl1 libopengl0 libx11-6 libusb-1.0-0 libgomp1"
missing=""
for pair in libGL.so.1:libgl1 libEGL.so.1:libegl1 libOpenGL.so.0:libopengl0 libX11.so.6:libx11-6 \
            libusb-1.0.so.0:libusb-1.0-0 libgomp.so.1:libgomp1; do
    ldconfig -p 2>/dev/null | grep -q "${pair%%:*}" || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
    echo "installing system libraries:$missing" >&2
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        sudo apt-get update -qq && sudo apt-get install -y -qq $missing >/dev/null
    else
        echo "please run: sudo apt-get install $libraries" >&2
    fi
fi

# Any Python from 3.11 on will do; prefer the named one.
python=""
for candidate in "${PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    echo "img2mesh needs Python 3.11 or newer; please run: sudo apt-get install python3.11 python3.11-venv" >&2
    exit 1
fi

[ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV" || {
    echo "the venv module is missing; please run: sudo apt-get install python3.11-venv" >&2
    exit 1
}
echo "installing img2mesh into $VENV" >&2
"$VENV/bin/python" -m pip install --quiet --constraint constraints.txt torch
"$VENV/bin/python" -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'

# The Khronos validator is a test-time client; without Node.js its tests are skipped, and say so.
if command -v npm >/dev/null && [ ! -d node_modules/gltf-validator ]; then
    npm install --no-save --no-audit --no-fund --silent gltf-validator@2.0.0-dev.3.10 >/dev/null 2>&1 ||
        echo "gltf-validator could not be installed; its tests will be skipped" >&2
fi
