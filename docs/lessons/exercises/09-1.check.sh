found=
for process in $(pgrep -x sleep); do
    limits=$(cgexec-rs --why "$process" 2>/dev/null)
    echo "$limits" | grep -q '^pids\.max  *7 ' && echo "$limits" | grep -q '^memory\.max  *50M ' && found=$process
done
[ -n "$found" ] || missing 'No sleep has both limits: cgexec-rs --why "$(pgrep -n -x sleep)"' \
    '没有一个 sleep 同时有这两个限制：cgexec-rs --why "$(pgrep -n -x sleep)"'
