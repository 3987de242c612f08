#!/bin/bash
# Boots a real systemd as PID 1 of namespaces of its own, on a throw-away copy of a Debian tree.
# boot.sh LOWER PLACE CGROUP: LOWER is overlayfs' lowerdir=, PLACE an empty folder, CGROUP a new cgroup of v2.
# All of it (processes, mounts, what was written) is gone when the process that this becomes, or the one that started it, is killed.
set -euo pipefail
echo $$ >"$3/cgroup.procs" # so that its systemd never sees the cgroups of this machine
exec setpriv --pdeathsig KILL unshare --fork --kill-child --pid --mount --propagation private --uts --ipc --net --cgroup \
    bash -euo pipefail -c '
mount -t tmpfs -o mode=755,size=1g scratch "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=$0,upperdir=upper,workdir=work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 dev dev
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname backup4d-test
pivot_root . mnt
umount -l /mnt
mount --make-rshared / # as on every machine; in what it takes for a container systemd does not do it itself
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --show-status=no --log-target=journal-or-kmsg </dev/null
' "$1" "$2"
