echo "host name: $(cat /proc/sys/kernel/hostname)"
read -r inside outside count </proc/self/uid_map
echo "uid: $(id -u), outside: $outside"
echo "own pid: $$"
echo "process 1: $(cat /proc/1/comm)"
for process in /proc/[0-9]*; do
  [ -r $process/comm ] && read -r name <$process/comm && echo "process list: ${process#/proc/} $name"
done
while read -r mark second third; do
  case "$mark $second $third" in
    "|-- "*) address=$second ;;
    "/32 host LOCAL") echo "address: $address" ;;
  esac
done </proc/net/fib_trie | sort -u
cd /sys/fs/cgroup
for file in memory.max memory/memory.limit_in_bytes; do [ -r $file ] && echo "memory limit: $(cat $file)"; done
for file in pids.max pids/pids.max; do [ -r $file ] && echo "process limit: $(cat $file)"; done
echo "root: $(echo /*)"
