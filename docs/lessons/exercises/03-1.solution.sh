mkdir notes
mount -t tmpfs none notes
mount --make-shared notes
unshare-rs --mount --propagation slave -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
