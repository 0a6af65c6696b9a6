#!/bin/sh
# debian_packages.sh LIBRARY.so.N:PACKAGE ... PROGRAM:PACKAGE ...
# Installs the Debian packages of those libraries and programs that this machine lacks; where it
# may not, prints the line that does.
set -eu

missing=""
for pair in "$@"; do
    case "${pair%%:*}" in
        *.so.*) ldconfig -p 2>/dev/null | grep -q "${pair%%:*}" || missing="$missing ${pair##*:}" ;;
        *) command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "installing system packages:$missing" >&2
say() {
    echo "please run: sudo apt-get install$missing" >&2
}
export DEBIAN_FRONTEND=noninteractive
get="apt-get install -y -qq --no-install-recommends"
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && $get $missing >/dev/null; } || say
elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    { sudo apt-get update -qq && sudo -E $get $missing >/dev/null; } || say
else
    say
fi
