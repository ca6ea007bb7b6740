found=
own_pid=$(readlink /proc/self/ns/pid) own_mnt=$(readlink /proc/self/ns/mnt)
for process in /proc/[0-9]*; do
    # A process with the files of the box, seen through its own root.
    [ -e "$process/root/bin" ] && ! [ -e "$process/root/usr" ] || continue
    found=${process#/proc/}
    [ "$(readlink "$process/ns/mnt")" != "$own_mnt" ] && [ "$(readlink "$process/ns/pid")" != "$own_pid" ] &&
        [ "$(readlink "$process/root")" = / ] && exit 0
done
if [ -z "$found" ]; then
    missing 'No process has such a root: for p in /proc/[0-9]*; do ls -d $p/root/bin; done' \
        '没有进程使用这样的根目录：for p in /proc/[0-9]*; do ls -d $p/root/bin; done'
else
    missing "Process $found can still get out: compare its root and its namespaces with yours, ls -l /proc/$found/root /proc/$found/ns" \
        "进程 $found 仍然可以出去：把它的根目录和命名空间与你自己的相比，ls -l /proc/$found/root /proc/$found/ns"
fi
