found=
for process in $(pgrep -x sleep); do
    grep -q '^NSpid:.*	1$' "/proc/$process/status" && [ "$(readlink "/proc/$process/ns/mnt")" != "$(readlink /proc/1/ns/mnt)" ] &&
        found=$process
done
if [ -z "$found" ]; then
    missing 'No sleep is pid 1 in a mount namespace of its own: grep NSpid "/proc/$(pgrep -n -x sleep)/status"' \
        '没有一个 sleep 是自己挂载命名空间里的 1 号进程：grep NSpid "/proc/$(pgrep -n -x sleep)/status"'
else
    process=/proc/$found
    [ "$(nsenter-rs --uts="$process/ns/uts" -- hostname)" = box ] ||
        missing "Its host name is another one: nsenter-rs --target $found --uts -- hostname" "主机名不对：nsenter-rs --target $found --uts -- hostname"
    [ "$(readlink "$process/ns/net")" != "$(readlink /proc/1/ns/net)" ] ||
        missing "It has your network: readlink $process/ns/net" "它用的是你的网络：readlink $process/ns/net"
    grep -q '^Seccomp:	2' "$process/status" || missing "It has no filter: grep Seccomp $process/status" "没有过滤器：grep Seccomp $process/status"
    grep -q '^CapEff:	0*$' "$process/status" || missing "It has capabilities: grep CapEff $process/status" "它还有 capability：grep CapEff $process/status"
fi
