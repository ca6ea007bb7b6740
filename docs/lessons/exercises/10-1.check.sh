found=
for process in $(pgrep -x sleep); do
    status=/proc/$process/status
    # CAP_KILL is bit 5.
    [ "$(sed -n 's/^CapEff:\t0*//p' "$status")" = 20 ] || continue
    found=$process
    [ "$(sed -n 's/^CapBnd:\t0*//p' "$status")" = 20 ] || grep -q '^NoNewPrivs:	1' "$status" ||
        missing "Process $process could get more from a program: grep -e CapBnd -e NoNewPrivs $status" \
            "进程 $process 还能通过执行程序得到更多：grep -e CapBnd -e NoNewPrivs $status"
done
[ -n "$found" ] || missing 'No sleep has exactly this capability: grep CapEff "/proc/$(pgrep -n -x sleep)/status"' \
    '没有一个 sleep 恰好只有这一种：grep CapEff "/proc/$(pgrep -n -x sleep)/status"'
