#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Boots systemd as process 1 over a throw-away overlay of this machine, in namespaces of its own; booted.py starts it.
#
# usage: boot.sh SCRATCH FOLDER...   SCRATCH: an empty folder; each FOLDER is there, too, read-only
set -e
if [ "$1" != --inside ]; then
  # The cgroups that systemd makes go with it, so they hang below one of their own.
  mount -t tmpfs -o size=4g none "$1"
  mkdir "$1/cgroup"
  mount -t cgroup2 none "$1/cgroup"
  own=$1/cgroup/videogate-test-$$
  mkdir "$own"
  (echo 0 >"$own/cgroup.procs" && exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child sh "$0" --inside "$@") || true
  find "$own" -depth -type d -exec rmdir {} +
  exit
fi

shift
scratch=$1
shift
mount --make-rprivate /
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs tmp tmp
mount -t tmpfs -o mode=755 units etc/systemd/system
for folder in "$@"; do
  mkdir -p ".$folder"
  mount --bind "$folder" ".$folder"
  mount -o remount,bind,ro ".$folder"
done
# Nodes of its own: systemd changes the rights of /dev/console and others.
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
ip link set lo up
# A root that was left with chroot may make no user namespaces (PrivateUsers); credentials are mounted by a child and must arrive here.
mkdir old
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target --show-status=no </dev/null >/dev/null 2>&1
