mkdir desk paper
mount --bind desk paper
mount -o remount,bind,ro paper
