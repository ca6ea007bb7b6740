unshare-rs --hold --ttl 600 --name own --mount --pid --uts --net --hostname own >record
nsenter-rs --target own --net --uts -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
