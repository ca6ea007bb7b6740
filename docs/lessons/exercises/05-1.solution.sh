unshare-rs --ipc -- sh -c 'ipcmk -M 8192 >/dev/null; exec sleep 1000' &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
