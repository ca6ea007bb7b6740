count=0
for process in /proc/[0-9]*; do
    [ -e "$process/ns/net" ] && [ "$(readlink "$process/ns/net")" != "$(readlink /proc/1/ns/net)" ] || continue
    # 0050 is port 80, 0A the state LISTEN.
    grep -q ':0050 00000000:0000 0A' "$process/net/tcp" && count=$((count + 1))
done
if [ "$count" -lt 2 ]; then
    missing "Processes that can see a listening port 80 in another namespace: $count; nsenter-rs --target PID --net -- ss -tln" \
        "在别的命名空间里监听 80 端口的进程：$count 个；nsenter-rs --target PID --net -- ss -tln"
elif ! bash -c 'exec 3<>/dev/tcp/127.0.0.1/8081' 2>/dev/null; then
    missing 'Port 8081 of 127.0.0.1 refuses: nft list table inet netns-rs' '127.0.0.1 的 8081 端口连不上：nft list table inet netns-rs'
fi
