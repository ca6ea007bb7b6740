if ! [ -d desk ] || ! [ -d paper ]; then
    missing 'There are no /mnt/desk and /mnt/paper: ls -l /mnt' '没有 /mnt/desk 和 /mnt/paper：ls -l /mnt'
elif ! touch desk/probe 2>/dev/null; then
    missing 'Nothing can be written through /mnt/desk: touch /mnt/desk/x' '通过 /mnt/desk 写不了：touch /mnt/desk/x'
elif ! [ -e paper/probe ]; then
    missing 'A file in /mnt/desk is not in /mnt/paper: findmnt /mnt/paper' '/mnt/desk 里的文件不在 /mnt/paper 里：findmnt /mnt/paper'
elif touch paper/probe 2>/dev/null; then
    missing 'Something can be written through /mnt/paper: findmnt -o TARGET,OPTIONS /mnt/paper' \
        '通过 /mnt/paper 能写：findmnt -o TARGET,OPTIONS /mnt/paper'
fi
