if ! [ -x root/bin/true ]; then
    missing 'There is no /mnt/root/bin/true: ls -l /mnt/root/bin' '没有 /mnt/root/bin/true：ls -l /mnt/root/bin'
elif ! chroot-rs root /bin/true 2>/dev/null; then
    missing 'It does not run: chroot-rs /mnt/root /bin/true' '它运行不了：chroot-rs /mnt/root /bin/true'
fi
