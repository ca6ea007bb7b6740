cgexec-rs --leaf --pids 7 --memory 50M -- sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
