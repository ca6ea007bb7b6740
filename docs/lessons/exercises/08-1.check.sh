found=
for process in $(pgrep -x sleep); do
    grep -q '^boottime  *604800 ' "/proc/$process/timens_offsets" && found=$process
done
[ -n "$found" ] || missing 'No sleep has such an offset, which is in seconds: cat "/proc/$(pgrep -n -x sleep)/timens_offsets"' \
    '没有一个 sleep 有这样的偏移（单位是秒）：cat "/proc/$(pgrep -n -x sleep)/timens_offsets"'
