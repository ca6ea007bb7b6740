unshare-rs --pid --fork -- unshare-rs --pid --fork -- unshare-rs --pid --fork -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
