#!/bin/sh
# Runs a program for which a serial port is what the system lists as one, on a pseudo-terminal that it does not list:
#
#   sh interop/on-terminal.sh LINK espflash board-info -p /dev/full --before no-reset --after no-reset-no-stub
#
# In mount points of its own, the pseudo-terminal behind LINK is the device /dev/full, and /dev/full the only serial port
# of the system. Needs Linux, and root or the right to make user namespaces; changes nothing outside.
set -eu
[ $# -ge 2 ] || { echo "usage: on-terminal.sh LINK PROGRAM [ARGUMENT]..." >&2; exit 2; }
COTTER_TERMINAL=$(readlink -f "$1")
COTTER_SYSTEM=$(mktemp -d)
export COTTER_TERMINAL COTTER_SYSTEM
shift
trap 'rm -rf "$COTTER_SYSTEM"' EXIT
mkdir -p "$COTTER_SYSTEM/tty/full" "$COTTER_SYSTEM/device" "$COTTER_SYSTEM/pnp"
ln -s "$COTTER_SYSTEM/device" "$COTTER_SYSTEM/tty/full/device"
ln -s "$COTTER_SYSTEM/pnp" "$COTTER_SYSTEM/device/subsystem"
if [ "$(id -u)" = 0 ]; then user=; else user=--map-root-user; fi
unshare --mount $user sh -euc '
    mount --bind "$COTTER_SYSTEM/tty" /sys/class/tty
    mount --bind "$COTTER_TERMINAL" /dev/full
    exec "$@"' sh "$@"
