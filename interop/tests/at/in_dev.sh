#!/bin/sh
# in_dev.sh LOG CMD COMMAND..: runs COMMAND in a mount namespace of its own, whose /dev/ttyUSB0 and /dev/ttyUSB1 are these
# two pseudo-terminals. Everybody else's /dev stays as it is.
set -eu
if [ "${IN_DEV:-}" != 1 ]; then
    root=--map-root-user
    [ "$(id -u)" = 0 ] && root=
    IN_DEV=1 exec unshare $root --mount sh "$0" "$@"
fi
# Nobody else sees what is mounted there now.
dev=/mnt
mount -t tmpfs tmpfs "$dev"
for node in null zero random urandom tty; do
    touch "$dev/$node"
    mount --bind "/dev/$node" "$dev/$node"
done
mkdir "$dev/pts"
mount --bind /dev/pts "$dev/pts"
ln -s "$1" "$dev/ttyUSB0"
ln -s "$2" "$dev/ttyUSB1"
shift 2
mount --rbind "$dev" /dev
exec "$@"
