unshare-rs --net -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
ip link add left type veth peer name right
ip link set right netns "$(pgrep -x sleep)"
ip address add 10.9.0.1/24 dev left
ip link set left up
nsenter-rs --target "$(pgrep -x sleep)" --net -- ip address add 10.9.0.2/24 dev right
nsenter-rs --target "$(pgrep -x sleep)" --net -- ip link set right up
