if ! grep -q ' /mnt/green nsfs ' /proc/mounts && ! grep -q ' /mnt/green .*nsfs' /proc/self/mountinfo; then
    missing 'No namespace is mounted on /mnt/green: grep green /proc/self/mountinfo' \
        '/mnt/green 上没有挂载命名空间：grep green /proc/self/mountinfo'
elif [ "$(nsenter-rs --uts=green -- hostname 2>/dev/null)" != green ]; then
    missing 'Its host name is another one: nsenter-rs --uts=/mnt/green -- hostname' \
        '它的主机名不对：nsenter-rs --uts=/mnt/green -- hostname'
else
    inode=$(nsenter-rs --uts=green -- readlink /proc/self/ns/uts)
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/uts")" = "$inode" ] &&
            missing "Process ${process#/proc/} is in it: readlink $process/ns/uts" \
                "进程 ${process#/proc/} 在里面：readlink $process/ns/uts"
    done
    :
fi
