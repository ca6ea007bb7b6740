#!/bin/sh
# What a process sees of itself, of its mounts and of its namespaces. cgroups are left out: runtimes differ there.
# shellcheck shell=sh
echo "pwd $(pwd) umask $(umask)"
id
grep -a -E '^(Cap|NoNew|Seccomp:|Groups|Uid|Gid|Sig(Blk|Ign|Cgt))' /proc/self/status
sed 's/^/limit /' /proc/self/limits
echo "oom $(cat /proc/self/oom_score_adj) personality $(cat /proc/self/personality) coredump $(cat /proc/self/coredump_filter)"
grep -E 'policy|prio' /proc/self/sched; ionice
env | sort | sed 's/^/env /'
echo "$(hostname) $(cat /proc/sys/kernel/domainname)"
set -- $(sed 's/.*) //' /proc/$$/stat)
[ "$3 $4" = "$$ $$" ] && echo "leads its session"; [ $$ = 1 ] && echo "is process 1"; echo "terminal $5 nice ${17}"
for kind in user mnt pid ipc uts net cgroup time; do echo "ns $kind $(readlink /proc/self/ns/$kind)"; done
cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
while read -r _ _ _ root place flags rest; do
    case $place in /sys/fs/cgroup*) continue;; esac
    # Shared and slave mounts have numbers, which differ from run to run.
    echo "mount $place [$root] $flags $rest" | sed 's/\(shared\|master\|propagate_from\):[0-9]*/\1/g'
done </proc/self/mountinfo
for at in /dev /dev/pts /dev/shm /dev/mqueue; do
    ls -ln "$at/" | sed -n 's/^\([bcdlps][^ ]*\) *[0-9]* *\([0-9]*\) *\([0-9]*\) *\([0-9]*, *[0-9]*\|[0-9]*\) .*[0-9] \([^ ]*\( -> .*\)*\)$/dev \1 \2 \3 \4 \5/p'
done | sed 's/,  */, /; /^dev d/s/ [0-9]* \([^ ]*\)$/ \1/; / core -> /d; / mqueue$/d'
for at in / /proc /sys /dev /tmp /etc /srv; do stat -c 'place %n %A %u %g' $at; done
for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo "fd $fd"; done
for name in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/msgmax net/ipv4/ip_forward fs/mqueue/msg_max; do
    echo "sysctl $name $(cat /proc/sys/$name 2>&1)"
done
ip addr show dev lo | grep -E 'inet|LOOPBACK'
for file in /proc/kcore /proc/keys /proc/sysrq-trigger /sys/kernel/x /proc/sys/kernel/x /x /etc/x /tmp/x; do
    (: >>$file) 2>/dev/null && echo "written $file"
done
echo out >/dev/stdout; echo err >/dev/stderr
