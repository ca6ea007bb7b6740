unshare-rs --map-root-user -- unshare-rs --map-root-user -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
