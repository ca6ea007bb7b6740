unshare-rs --time --boottime 604800 --fork -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
