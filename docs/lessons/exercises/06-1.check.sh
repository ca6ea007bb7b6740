found=
for process in /proc/[0-9]*; do
    [ -e "$process/ns/net" ] && [ "$(readlink "$process/ns/net")" != "$(readlink /proc/1/ns/net)" ] && found=${process#/proc/}
done
if [ -z "$found" ]; then
    missing 'No process has another network namespace: readlink /proc/[0-9]*/ns/net' '没有进程在别的网络命名空间里：readlink /proc/[0-9]*/ns/net'
elif ! ip -br link show type veth | grep -q UP; then
    missing 'Your side has no veth interface that is up: ip -br link show type veth' '你这边没有启用的 veth 接口：ip -br link show type veth'
elif ! nsenter-rs --target "$found" --net -- ip -br -4 address | grep -q 'UP .*10\.9\.0\.2/'; then
    missing "The other side has no such address on an interface that is up: nsenter-rs --target $found --net -- ip -br address" \
        "另一边启用的接口上没有这个地址：nsenter-rs --target $found --net -- ip -br address"
elif ! ip route get 10.9.0.2 2>/dev/null | grep -q ' src 10\.9\.0\.'; then
    missing 'You have no address in the same network: ip -br address; ip route' '你没有同一网段的地址：ip -br address; ip route'
fi
