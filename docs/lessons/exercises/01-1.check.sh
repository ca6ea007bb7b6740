if ! [ -d box ]; then
    missing 'There is no directory /mnt/box: ls -l /mnt' '没有目录 /mnt/box：ls -l /mnt'
elif ! [ -x box/bin/cat ]; then
    missing 'The root has no /bin/cat: ls -l /mnt/box/bin' '根目录里没有 /bin/cat：ls -l /mnt/box/bin'
elif [ "$(chroot-rs box /bin/cat /hello 2>&1)" != hello ]; then
    missing 'It does not print hello: chroot-rs /mnt/box /bin/cat /hello' '输出不是 hello：chroot-rs /mnt/box /bin/cat /hello'
fi
