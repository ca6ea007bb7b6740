mkdir -p project
cat >box <<'END'
exec unshare-rs --mount --pid --ipc --uts --net --fork --kill-child -- \
    chroot-rs --std --host-root --bind /mnt/project:/mnt/project -- "$@"
END
