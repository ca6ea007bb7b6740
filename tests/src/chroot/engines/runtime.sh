# What an engine calls as its runtime: runs the bundle of `create` with the five tools and with another runtime, and then
# fails. $D is the directory of the row; $D/case names the files with the results.
# shellcheck shell=sh disable=SC2154
next='' bundle='' verb=''
for word; do
    if [ "$next" ]; then bundle=$word next=; continue; fi
    case $word in
        --bundle | -b) next=bundle;;
        --version) echo 'runc version 1.1.5'; echo 'spec: 1.0.2-dev'; exit;;
        create | run | delete | kill | state | start | features) verb=${verb:-$word};;
    esac
done
case $verb in create | run) ;; features) exit 1;; *) exit;; esac
case=$D/seen/$(cat "$D/case")
work=$D/work-${case##*/}
mkdir "$work"
path=$(jq -r .root.path "$bundle/config.json")
case $path in /*) ;; *) path=$bundle/$path;; esac

# The hooks of docker connect networks, and would do so twice.
for who in ours theirs; do
    mkdir "$work/$who"; cp -a "$path" "$work/$who/rootfs"
    jq --arg path "$work/$who/rootfs" '.root.path = $path | del(.hooks)' "$bundle/config.json" >"$work/$who/config.json"
done
# The pipes of an engine belong to the container's root.
give_pipes() {
    root=$(jq '.linux.uidMappings // [] | .[] | select(.containerID == 0).hostID' "$bundle/config.json")
    [ ! "$root" ] || [ "$(id -u)" = "$root" ] || chown "$root" /proc/self/fd/0 /proc/self/fd/1
}
ours() {
    give_pipes
    runtime() { sh "$D/oci-runtime.sh" --root "$work/state" "$@"; }
    runtime run --bundle "$work/ours" c
    echo $?
}
theirs() {
    give_pipes
    if [ "$(id -u)" = 0 ] && grep -q '^ *0 *0 ' /proc/self/uid_map; then
        # crun refuses a machine that has cgroup v2 mounted next to v1: it gets a mount namespace without v2.
        unshare --mount --propagation unchanged sh -c 'for at in $(findmnt -rno TARGET -t cgroup2); do umount "$at"; done; exec "$@"' sh \
            crun --root "$work/crun" --cgroup-manager=disabled run --bundle "$work/theirs" "look-$$"
    else
        runc --root "$work/runc" run --bundle "$work/theirs" "look-$$" 2>&1 | grep -v level=warning
    fi
    echo 0
}
# Leaves out what differs although the bundle is the same: namespaces by number, the flags of masks and read-only paths,
# those of devices in a user namespace, where the host's are bound, and those of sysfs itself, which runc changes.
normal() {
    host=$(for kind in user mnt pid ipc uts net cgroup time; do readlink /proc/self/ns/$kind; done)
    jq -r '(.linux.maskedPaths, .linux.readonlyPaths)[]?' "$bundle/config.json" >"$work/covered"
    tr -d '\000' | grep -v -e 'warning: every user of this machine' -e 'warning: cannot put .* into the ambient set' | sed "s#$work/[a-z]*#BUNDLE#g; s/ - sysfs .*//" |
        awk -v host="$host" -v covered="$work/covered" '
            BEGIN { while ((getline place <covered) > 0) known[place] = 1
                    split("null zero full random urandom tty", names, " "); for (i in names) known["/dev/" names[i]] = 1 }
            $1 == "ns" { print $1, $2, index(host, $3) ? "host" : "private"; next }
            $1 == "mount" && known[$2] { print $1, $2; next }
            { print }'
}
# Their stdin is a pipe: crun makes the user the owner of whatever it is, also of the null device of the host.
: | ours 2>&1 | normal >"$case.ours"
: | theirs 2>&1 | normal >"$case.theirs"
grep -q " $work/" /proc/self/mountinfo || rm -rf "$work"
exit 1
