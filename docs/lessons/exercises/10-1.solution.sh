chroot-rs --no-new-privs --capabilities kill / sleep 1000 &
until pgrep -x sleep >/dev/null; do sleep 0.1; done
