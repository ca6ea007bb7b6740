deepest=0
for process in /proc/[0-9]*; do
    pids=$(sed -n 's/^NSpid://p' "$process/status" 2>/dev/null | wc -w)
    [ "$pids" -gt "$deepest" ] && deepest=$pids
done
if [ "$deepest" -lt 4 ]; then
    missing "The process with the most pids has $deepest: grep NSpid /proc/[0-9]*/status" \
        "pid 最多的进程只有 $deepest 个：grep NSpid /proc/[0-9]*/status"
fi
