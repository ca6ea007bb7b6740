if ! grep -q ' / /mnt/notes .* shared:' /proc/self/mountinfo && ! grep -q ' /mnt/notes .* shared:' /proc/self/mountinfo; then
    missing '/mnt/notes is no shared mount here, so nothing can come from it: findmnt -o TARGET,PROPAGATION /mnt/notes' \
        '/mnt/notes 在这里不是 shared 挂载，所以不会向别处传播：findmnt -o TARGET,PROPAGATION /mnt/notes'
else
    found=
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/mnt")" = "$(readlink /proc/1/ns/mnt)" ] && continue
        grep -q ' /mnt/notes .* master:' "$process/mountinfo" 2>/dev/null && found=$process
    done
    [ -n "$found" ] || missing 'No process sees it as a slave: grep notes /proc/[0-9]*/mountinfo' \
        '没有进程把它看作 slave：grep notes /proc/[0-9]*/mountinfo'
fi
