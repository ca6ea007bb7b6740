second= first=
for process in $(pgrep -x sleep); do
    grep -q "^NSpid:.*	.*	2$" "/proc/$process/status" || grep -q "^NSpid:	[0-9]*	2$" "/proc/$process/status" || continue
    second=$process
    first=$(ps -o ppid= -p "$process" | tr -d ' ')
done
if [ -z "$second" ]; then
    missing 'No sleep is pid 2 of a namespace: grep NSpid /proc/$(pgrep -n -x sleep)/status' \
        '没有一个 sleep 是某个命名空间的 2 号进程：grep NSpid /proc/$(pgrep -n -x sleep)/status'
elif [ "$(cat "/proc/$first/comm")" = sh ]; then
    missing "Its pid 1 is a shell, which collects zombies only while it waits: cat /proc/$first/comm" \
        "它的 1 号进程是 shell，只有在等待时才会回收僵尸：cat /proc/$first/comm"
fi
