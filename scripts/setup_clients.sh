#!/bin/sh
# What `make test-clients` needs besides `make setup`: programs other than this one that read mesh
# files, in an environment of their own (Blender pins another numpy). Needs the Python and Node.js
# package indices and Debian's packages. Safe to run again.
set -eu

CLIENTS="${CLIENTS:-.venv-clients}"
PYTHON="${PYTHON:-python3.11}"
here="$(dirname "$0")"

sh "$here/debian_packages.sh" npm:npm libGL.so.1:libgl1 libSM.so.6:libsm6 libICE.so.6:libice6 \
    libX11.so.6:libx11-6 libXi.so.6:libxi6 libXfixes.so.3:libxfixes3 libXrender.so.1:libxrender1 \
    libxkbcommon.so.0:libxkbcommon0
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null || sh "$here/debian_packages.sh" chromium:chromium

"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "Blender's module exists for Python 3.11 only; please name one: PYTHON=python3.11" >&2
    exit 1
}
[ -x "$CLIENTS/bin/python" ] || "$PYTHON" -m venv "$CLIENTS"
echo "installing Blender, a browser's driver, three.js and the Khronos validator into $CLIENTS" >&2
"$CLIENTS/bin/python" -m pip install --quiet --requirement tests/clients/requirements.txt
cp tests/clients/package.json "$CLIENTS/package.json"
npm install --prefix "$CLIENTS" --no-audit --no-fund --silent >/dev/null
