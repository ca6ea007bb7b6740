unshare-rs --map-user 1234 --map-group 1234 -- sh -c 'touch mine; exec sleep 1000' &
until [ -e mine ] && pgrep -x sleep >/dev/null; do sleep 0.1; done
