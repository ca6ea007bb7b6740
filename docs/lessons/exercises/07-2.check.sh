own=$(readlink /proc/1/ns/user | tr -dc 0-9)
nested=$(nsenter-rs --list --type user --raw --noheadings --output NS,PNS |
    awk -v own="$own" '$1 != own && $2 != own && $2 != 0')
[ -n "$nested" ] || missing 'There is none: nsenter-rs --list --type user --output NS,PNS,PID,COMMAND' \
    '没有：nsenter-rs --list --type user --output NS,PNS,PID,COMMAND'
