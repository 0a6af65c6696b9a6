#!/bin/sh
# What `make setup` does. Safe to run again; needs the Python package index, and Debian's packages
# only where a system library is missing.
set -eu

VENV="${VENV:-.venv}"

# open3d loads these at import; a headless machine usually lacks them.
sh "$(dirname "$0")/debian_packages.sh" libGL.so.1:libgl1 libEGL.so.1:libegl1 \
    libOpenGL.so.0:libopengl0 libX11.so.6:libx11-6 libusb-1.0.so.0:libusb-1.0-0 libgomp.so.1:libgomp1

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

# The network that the default segmenter asks; without it the weight-free way is taken.
"$VENV/bin/img2mesh" models fetch u2netp >/dev/null 2>&1 ||
    echo "the network u2netp could not be fetched; objects are found without it (img2mesh models fetch u2netp)" >&2

# The Khronos validator is a test-time client; without Node.js its tests are skipped, and say so.
if command -v npm >/dev/null && [ ! -d node_modules/gltf-validator ]; then
    npm install --no-save --no-audit --no-fund --silent gltf-validator@2.0.0-dev.3.10 >/dev/null 2>&1 ||
        echo "gltf-validator could not be installed; its tests will be skipped" >&2
fi
