found=
for process in $(pgrep -x sleep); do
    differs() { [ "$(readlink "/proc/$process/ns/$1")" != "$(readlink "/proc/1/ns/$1")" ]; }
    differs net && differs uts && ! differs mnt && found=$process
done
if [ -z "$found" ]; then
    missing 'No sleep is in other network and UTS namespaces, but in your mount namespace: ls -l "/proc/$(pgrep -n -x sleep)/ns"' \
        '没有一个 sleep 在别的网络和 UTS 命名空间里，同时又在你的挂载命名空间里：ls -l "/proc/$(pgrep -n -x sleep)/ns"'
elif [ -z "$(nsenter-rs --list --containers --json)" ]; then
    missing 'There is no container: nsenter-rs --list --containers' '没有容器：nsenter-rs --list --containers'
fi
