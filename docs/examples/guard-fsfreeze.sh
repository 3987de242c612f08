#!/bin/sh
# A guard of backup4d that freezes a file system while the backup reads it.
#
#     guard-fsfreeze.sh MOUNT_POINT [SECONDS]
#
# Everybody who writes there waits meanwhile, 4D too. Whatever happens - this script is killed, the backup hangs,
# the machine is slow - a watchdog in a session of its own thaws the file system after SECONDS (120), and at once
# when this script is gone. The backup then fails rather than save files that changed.
#
# Needs CAP_SYS_ADMIN, and fsfreeze and setsid of util-linux. Under systemd the unit needs one line more, as its end
# kills the watchdog, too:  ExecStopPost=-+/usr/sbin/fsfreeze --unfreeze MOUNT_POINT
set -u

mount_point=${1:?usage: guard-fsfreeze.sh MOUNT_POINT [SECONDS]}
at_most=${2:-120}

refuse() {
    echo "$1" >&2
    exit 1
}

volume_of() {
    df --output=source -- "$1" | tail -n 1
}

mountpoint -q -- "$mount_point" || refuse "$mount_point is not a mount point: nothing is mounted there now"
volume=$(volume_of "$mount_point")
# what must be written while it is frozen must lie elsewhere, or all wait for each other
for place in / /run /tmp /var "${BACKUP4D_DESTINATION:-/}"; do
    [ "$(volume_of "$place")" != "$volume" ] || refuse "$place is on $mount_point, which therefore cannot be frozen"
done

# shellcheck disable=SC2016
setsid sh -c '
    mount_point=$1 left=$2 guard=$3
    while [ "$left" -gt 0 ] && kill -s 0 "$guard"; do
        sleep 1
        left=$((left - 1))
    done
    kill -s TERM "$guard"
    # a freeze that was slow to begin may come through even now
    tries=600
    while [ "$tries" -gt 0 ] && kill -s 0 -- "-$guard"; do
        fsfreeze --unfreeze "$mount_point"
        sleep 1
        tries=$((tries - 1))
    done
    fsfreeze --unfreeze "$mount_point"
' watchdog "$mount_point" "$at_most" "$$" </dev/null >/dev/null 2>&1 &
watchdog=$!

frozen=no
thaw() {
    result=$?
    trap - EXIT
    if [ "$frozen" = yes ] && ! fsfreeze --unfreeze "$mount_point"; then
        result=1 # the watchdog has done it, or tries again
    else
        kill -s TERM -- "-$watchdog"
    fi
    exit "$result"
}
trap thaw EXIT
trap 'exit 1' HUP INT TERM

frozen=yes
fsfreeze --freeze "$mount_point" || {
    frozen=no # by us; somebody else may have frozen it
    exit 1
}
echo ready

# the end of standard input: the backup lets go, or it died. Not cat: a signal must be heard meanwhile
while read -r _; do :; done
