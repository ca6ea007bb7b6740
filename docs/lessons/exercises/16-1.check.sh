if ! [ -f bundle/config.json ]; then
    missing 'There is no /mnt/bundle/config.json: ls -l /mnt/bundle' '没有 /mnt/bundle/config.json：ls -l /mnt/bundle'
elif [ "$(jq -r .process.cwd bundle/config.json)" != /srv ]; then
    missing 'Its working directory is another one: jq .process.cwd /mnt/bundle/config.json' '工作目录不对：jq .process.cwd /mnt/bundle/config.json'
elif [ "$(unshare-rs --mount --pid --uts --ipc --fork -- chroot-rs --oci bundle 2>/dev/null)" != /srv ]; then
    missing 'It does not print /srv: unshare-rs --mount --pid --uts --ipc --fork -- chroot-rs --oci /mnt/bundle' \
        '输出不是 /srv：unshare-rs --mount --pid --uts --ipc --fork -- chroot-rs --oci /mnt/bundle'
fi
