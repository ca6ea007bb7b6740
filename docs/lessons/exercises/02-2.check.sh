found=
for process in /proc/[0-9]*; do
    [ "$(readlink "$process/ns/mnt")" = "$(readlink /proc/1/ns/mnt)" ] || continue
    [ "$(readlink "$process/ns/uts")" = "$(readlink /proc/1/ns/uts)" ] && continue
    [ -e "$process/ns/uts" ] || continue
    name=$(nsenter-rs --uts="$process/ns/uts" -- hostname)
    [ "$name" != "$(hostname)" ] && found=$process
done
if [ -z "$found" ]; then
    missing 'No such process: for p in /proc/[0-9]*; do readlink $p/ns/uts $p/ns/mnt; done' \
        '没有这样的进程：for p in /proc/[0-9]*; do readlink $p/ns/uts $p/ns/mnt; done'
fi
