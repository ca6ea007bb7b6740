mkdir -m 700 own
install -D -t own/rootfs/bin "$(command -v busybox)"
unshare-rs --hold --ttl 600 --name lab --mount --pid | chroot-rs --pipe --std own/rootfs >lab.json
