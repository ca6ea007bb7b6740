#!/bin/sh
# A runtime of the OCI runtime specification, over the five tools: docker, containerd and podman accept it.
#
#   oci-runtime.sh [--root DIR] [--log FILE] [--log-format text|json] [--systemd-cgroup] COMMAND [OPTION...] ID
#
#   create --bundle DIR [--pid-file FILE] [--console-socket PATH] [--no-pivot] ID    set up everything, start nothing
#   start ID; run [--detach] --bundle DIR ID; state ID; list [--quiet]; delete [--force] ID
#   kill [--all] ID [SIGNAL]; pause ID; resume ID; update --resources FILE ID; events --stats ID; ps [--format json] ID
#   exec [--process FILE] [--detach] [--pid-file FILE] [--console-socket PATH] [--env X=Y] [--cwd DIR] [--user UID[:GID]]
#        [--cap CAP] [--no-new-privs] [--apparmor PROFILE] [--process-label LABEL] [--tty] ID [COMMAND...]
#   spec [--bundle DIR]; features; --version
#
# jq(1), by oci-runtime.jq next to this file, hands each tool its part of config.json: limits and devices to cgexec-rs, a
# network to netns-rs, namespaces, id maps and the host name to unshare-rs, namespaces that exist to nsenter-rs, and all
# else to chroot-rs, which waits at a FIFO until `start` writes to it. No process of this runtime is left: the container's
# first process becomes a child of the engine. Hooks run where the specification puts them: those before the root changes
# run before chroot-rs, so its mounts are not there yet. The own name of a startContainer hook is its path.
# Its variables are also set by eval, of what jq prints and of options.
# shellcheck disable=SC1091,SC2030,SC2031,SC2034,SC2154,SC2174
set -eu

name=oci-runtime.sh log='' log_format=text root='' uid=$(id -u)
program=$(readlink -f "$0"); program=${program%/*}/oci-runtime.jq
# podman gives some commands no PATH, so the tools may also be next to this file.
PATH=${program%/*}:$PATH; export PATH

# Engines read the last line of the log, and know these errors by their text.
log() {
    text=$(printf %s "$2" | tr '\000-\037\177' ' ')
    case $log_format in
        json) line=$(printf '{"level":"%s","msg":"%s","time":"%s"}' "$1" "$(printf %s "$text" | sed 's/[\\"]/\\&/g')" "$(date -u +%FT%TZ)");;
        *) line="time=\"$(date -u +%FT%TZ)\" level=$1 msg=\"$text\"";;
    esac
    [ ! "$log" ] || printf '%s\n' "$line" >>"$log"
}
fail() {
    # The words by which engines know these two, to return 127 and 126.
    case $1 in
        *': cannot run '*': ENOENT '*) set -- "executable file not found in \$PATH: $1";;
        *': cannot run '*': EACCES '*) set -- "permission denied: $1";;
    esac
    log error "$*"; printf '%s\n' "$name: $*" >&2; exit 1
}
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 1; }

# Options before and after the command may be written "--option value" and "--option=value", in any order, and an option
# is never an id. take OPTIONS-WITH-VALUE SWITCHES WORD... sets a variable for each, and leaves the other words in $rest.
take() {
    valued=$1 switches=$2 rest=''; shift 2
    while [ $# -gt 0 ]; do
        case $1 in
            --) shift; break;;
            -?*) ;;
            *) break;;
        esac
        option=${1%%=*}
        case $option in
            -b) option=--bundle;; -d) option=--detach;; -f) option=--force;; -a) option=--all;; -t) option=--tty;;
            -p) option=--process;; -e) option=--env;; -u) option=--user;; -q) option=--quiet;; -r) option=--resources;;
        esac
        key=$(printf %s "${option#--}" | tr - _)
        case " $switches " in *" ${option#--} "*)
            # A switch may be given as --switch=true.
            case $1 in *=false) eval "$key=";; *) eval "$key=yes";; esac
            shift; continue;;
        esac
        case " $valued " in *" ${option#--} "*) ;; *) fail "unknown option $1 of $command";; esac
        case $1 in
            *=*) value=${1#*=}; shift;;
            *) [ $# -gt 1 ] || fail "option $1 needs a value"; value=$2; shift 2;;
        esac
        # These may be given several times.
        case $key in env|cap) eval "value=\$$key\${$key:+\$newline}\$value";; esac
        eval "$key=\$value"
    done
    taken=$#
}
newline='
'
bundle='' pid_file='' console_socket='' preserve_fds='' force='' all='' detach='' process='' env='' cwd='' user='' stats=''
format='' resources='' quiet='' no_pivot='' cap='' apparmor='' process_label='' tty='' no_new_privs=''
command="$name" debug='' systemd_cgroup='' rootless='' version='' help=''
total=$#
take 'root log log-format rootless criu cgroup-manager' 'debug systemd-cgroup version help' "$@"
shift $((total - taken))
[ ! "$version" ] || { echo "$name 1.0"; echo 'spec: 1.2.1'; exit; }
{ [ ! "$help" ] && [ $# -gt 0 ]; } || usage
command=$1; shift

# Root's state is at a fixed place: after su(1), XDG_RUNTIME_DIR is a user's. A user's is of mode 700, by the XDG rules.
# What is in it decides which processes `kill` kills.
if [ "$root" ]; then :
elif [ "$uid" = 0 ]; then
    root=/run/oci-runtime
elif [ "$(stat -c '%u %a' "${XDG_RUNTIME_DIR:-/}")" = "$uid 700" ]; then
    root=$XDG_RUNTIME_DIR/oci-runtime
else
    fail 'XDG_RUNTIME_DIR is no directory of yours with mode 700: use --root DIR'
fi
if [ -e "$root" ] || [ -L "$root" ]; then
    case $(stat -c '%u %A' "$root") in
        "$uid d"????-??-?) ;;
        "$uid "*) fail "$root is no directory, or others than its owner can write to it";;
        *) fail "$root belongs to another user";;
    esac
fi

require_id() { case $1 in ''|.|..|-*|*[!A-Za-z0-9_+.-]*) fail "\"$1\" is no container id";; esac; }

# Sets $status and $pid. A pid alone may be somebody else's by now: field 22 of /proc/PID/stat, the time of its start,
# must be what it was. A name may have blanks and parentheses, so count from the last one.
open_state() {
    require_id "${1:-}"
    id=$1 dir=$root/$1 pid=0 status=stopped cgroup='' about='"ociVersion":"1.2.1"'
    [ -d "$dir" ] || fail "container \"$id\" does not exist"
    [ -s "$dir/vars" ] || { status=creating; return; }
    . "$dir/vars"
    is_alive || return 0
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "${20}" = "$(cat "$dir/start_time" 2>/dev/null)" ] || return 0
    pid=$first status=running
    [ ! -p "$dir/start" ] || status=created
    [ ! -e "$dir/paused" ] || status=paused
}
state_of() { printf '{"id":"%s","status":"%s","pid":%s,%s}' "$id" "$1" "$2" "$about"; }
need() {
    for wanted; do [ "$status" != "$wanted" ] || return 0; done
    [ "$status" != stopped ] || fail 'container not running'
    fail "cannot $command container $id: it is $status"
}
need_cgroup() { [ "$cgroup" ] || fail "cannot $command container $id: it has no cgroup, because its bundle names no cgroupsPath"; }
warn() { log warning "$1"; [ "$log" ] || printf '%s\n' "$1" >&2; }
warn_of_hook() { log warning "a hook failed: $1"; echo "$name: warning: a hook failed: $1" >&2; }

# Runs a command that writes what is wrong to stderr: if it fails, that is the error, otherwise a warning.
checked() { said=$("$@" 2>&1 >/dev/null) || fail "${said:-$1 failed}"; [ ! "$said" ] || warn "$said"; }

# Runs lines that jq has made of hooks; each returns 1 if its hook fails.
run_hooks() { eval "$1"; }

# The groups of this path exist already, and so are not ours to kill and to remove.
is_group() { for at in "/sys/fs/cgroup$1" /sys/fs/cgroup/*"$1"; do [ ! -d "$at" ] || return 0; done; return 1; }

take_create() { take 'bundle pid-file console-socket preserve-fds' 'no-pivot no-new-keyring detach keep no-subreaper' "$@"; }
create() {
    take_create "$@"
    shift $(($# - taken)); id=${1:-}
    require_id "$id"
    [ "${preserve_fds:-0}" = 0 ] || fail '--preserve-fds is not supported'
    bundle=$(realpath "${bundle:-.}")
    [ -f "$bundle/config.json" ] || fail "there is no $bundle/config.json"
    dir=$root/$id
    mkdir -p -m 700 "$root"
    mkdir -m 700 "$dir" 2>/dev/null || fail "container with given ID already exists: $id"
    trap 'rm -rf "$dir"' EXIT
    exec 8>"$dir/errors"
    mkfifo "$dir/start" "$dir/ready" "$dir/go"
    # Root of a user namespace can make no device that opens, and no rules for devices.
    read -r first outside count </proc/self/uid_map
    first_namespace=false; [ "$uid $first $outside $count" != '0 0 0 4294967295' ] || first_namespace=true
    # $words, $hooks_*, $about, $cgroup, $terminal and $limits.
    facts=$(jq -r --arg of create --argjson uid "$uid" --argjson gid "$(id -g)" --arg dir "$dir" --arg bundle "$bundle" \
        --arg chroot "$(command -v chroot-rs)" --argjson first "$first_namespace" --argjson detach "${waits:-true}" --arg now "$(date -u +%FT%TZ)" \
        -f "$program" "$bundle/config.json" 2>&8) || give_up
    eval "$facts"
    [ "$terminal" = false ] || [ "$console_socket" ] || [ "${waits:-true}" = false ] ||
        fail 'cannot make a terminal: process.terminal is true, and there is no --console-socket'
    [ "$terminal" = true ] || console_socket=''
    made=''; [ ! "$cgroup" ] || is_group "$cgroup" || made=yes
    printf '%s\n' "$facts" "made=$made" >"$dir/facts.new"
    # As a whole or not at all: `delete --force` reads it, too.
    mv "$dir/facts.new" "$dir/facts"
    [ ! "$limits" ] || printf %s "$limits" >"$dir/config.json"
    eval "set -- $words"
    [ ! "$no_pivot" ] || set -- "$@" --no-pivot
    [ ! "$console_socket" ] || set -- "$@" --console-socket="$(realpath "$console_socket")"
    # The container outlives its caller, and is no job of the terminal at which the caller may be.
    [ "$terminal" = true ] || { [ ! -t 0 ] && [ ! -t 1 ] && [ ! -t 2 ]; } || set -- "$@" --new-session
    # A command in the background has no stdin by itself, so ours is kept as another descriptor. What is in a directory of
    # mode 700 is opened here: root of a user namespace may not search that directory.
    exec 9<&0
    "$@" <&9 9<&- 3>"$dir/ready" 4<"$bundle/config.json" 5<>"$dir/start" 6<>"$dir/go" &
    chain=$!
    exec 9<&-
    # An end of file in place of a line: the chain ended, and has said why.
    exec 7<"$dir/ready"
    read -r _ <&7 || give_up
    pid=$(cat "$dir/pid")
    sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20 >"$dir/start_time"
    state=$(state_of creating "$pid")
    # An empty line ends the chain.
    if run_hooks "$hooks_before" 2>&8; then printf '%s\n' "$state"; else echo; echo 'a hook failed' >&8; fi 1<>"$dir/go"
    read -r _ <&7 || give_up
    exec 7<&- 8>&-
    publish "$pid"
    while read -r line; do warn "$line"; done <"$dir/errors"
    mv "$dir/facts" "$dir/vars"
    rm "$dir/ready" "$dir/go" "$dir/errors"
    trap - EXIT
}

# Engines want no newline after the pid.
publish() { [ ! "$pid_file" ] || { printf %s "$1" >"$pid_file.new"; mv "$pid_file.new" "$pid_file"; }; }

# Whether the process of $dir/pid has not ended. The zombie of a process that nobody has collected yet has.
is_alive() {
    first=$(cat "$dir/pid" 2>/dev/null) && stat=$(cat "/proc/${first:-none}/stat" 2>/dev/null) || return 1
    case ${stat##*) } in Z*|X*) return 1;; esac
}

# Reports why create failed, when all that it started has ended.
give_up() {
    [ ! "${chain:-}" ] || wait "$chain" || :
    while is_alive; do sleep 0.01; done
    said=$(grep -v ': warning: ' "$dir/errors" || :)
    [ ! "${made:-}" ] || cgexec-rs --cgroup "$cgroup" --remove 2>/dev/null || :
    fail "${said:-the container could not be made}"
}

start() {
    open_state "$@"
    need created
    nsenter=$(command -v nsenter-rs)
    state=$(state_of created "$pid")
    run_hooks "$hooks_start" || { kill -KILL "$pid"; fail 'a hook failed: startContainer'; }
    # Opened for both directions, so that nobody waits if the container has just ended.
    echo 1<>"$dir/start"
    rm "$dir/start"
    state=$(state_of running "$pid")
    run_hooks "$hooks_poststart"
}

run() {
    total=$#
    take_create "$@"
    [ "$detach" ] || waits=false
    create "$@"
    shift $((total - taken))
    start "$1"
    [ ! "$detach" ] || return 0
    trap 'kill -TERM "$pid"' TERM INT HUP
    code=0; wait "$chain" || code=$?
    while kill -0 "$chain" 2>/dev/null; do code=0; wait "$chain" || code=$?; done
    force=''; remove "$1"
    exit "$code"
}

remove() {
    open_state "$1"
    if [ "$status" = creating ] && [ "$force" ]; then
        # Its `create` may be over, killed for example. What has our FIFO open is the process that it made, and no other one
        # that has got the same pid.
        [ ! -e "$dir/facts" ] || . "$dir/facts"
        while is_alive && [ "$(readlink "/proc/$first/fd/5")" = "$dir/start" ]; do kill -KILL "$first" 2>/dev/null || :; sleep 0.02; done
    elif [ "$status" != stopped ]; then
        [ "$force" ] || [ "$status" = created ] || fail "cannot delete container $id that is not stopped: it is $status"
        [ ! -e "$dir/paused" ] || cgexec-rs --cgroup "$cgroup" --thaw 8>&2 2>/dev/null || :
        [ "$pid" = 0 ] || kill -KILL "$pid"
        while open_state "$id" && [ "$status" != stopped ]; do sleep 0.02; done
    fi
    # Without a pid namespace of its own, its other processes are still there.
    if [ "$cgroup" ] && [ "$made" ]; then
        cgexec-rs --cgroup "$cgroup" --remove 2>/dev/null || ! is_group "$cgroup" ||
            { checked cgexec-rs --cgroup "$cgroup" --kill; checked cgexec-rs --cgroup "$cgroup" --remove; }
    fi
    rm -rf "$dir"
    [ "$status" = creating ] || { state=$(state_of stopped 0); run_hooks "$hooks_poststop"; }
}

# The pids in its cgroup, one a line; without a cgroup, only that of its first process.
pids() {
    [ "$cgroup" ] || { echo "$pid"; return; }
    path=$(printf %s "$cgroup" | sed 's/[][\.*^$+?(){}|]/\\&/g')
    grep -lsE "^[0-9]+:[^:]*:$path(/|\$)" /proc/[0-9]*/cgroup | cut -d/ -f3
}

run_in() {
    total=$#
    take 'process pid-file console-socket preserve-fds env cwd user cap apparmor process-label' 'detach tty no-new-privs' "$@"
    shift $((total - taken))
    [ "${preserve_fds:-0}" = 0 ] || fail '--preserve-fds is not supported'
    open_state "${1:-}"
    need running; shift
    own=$bundle/config.json
    boot=$(cat /proc/sys/kernel/random/boot_id)
    facts=$(jq -r --arg of exec --slurpfile process "${process:-/dev/null}" --arg id "$id" --argjson pid "$pid" \
        --argjson start "$(cat "$dir/start_time")" --arg boot "$boot" --arg env "$env" --arg cwd "$cwd" --arg user "$user" \
        --arg cap "$cap" --arg apparmor "$apparmor" --arg label "$process_label" --arg tty "$tty" --arg no_new_privs "$no_new_privs" \
        -f "$program" "$own" 2>"$dir/said.$$") || { said=$(cat "$dir/said.$$"); rm "$dir/said.$$"; fail "$said"; }
    eval "$facts"
    [ ! "$process" ] || eval "set -- $words"
    [ "$terminal" = true ] || console_socket=''
    set -- ${detach:+--detach} ${pid_file:+--pid-file="$pid_file"} ${console_socket:+--console-socket="$console_socket"} -- "$@"
    [ "$terminal" = false ] || [ "$console_socket" ] || { [ ! "$detach" ] && [ -t 0 ]; } ||
        fail 'a terminal needs --console-socket, or a terminal as stdin and no --detach'
    # Our stdin is the command's, and the record comes through a pipe.
    exec 3<&0 8>"$dir/said.$$"
    code=0; printf '%s\n' "$record" | nsenter-rs --pipe --stdin 3 --error-fd=8 "$@" || code=$?
    [ ! "$pid_file" ] || [ "$code" != 0 ] || publish "$(cat "$pid_file")"
    said=$(cat "$dir/said.$$"); rm -f "$dir/said.$$"
    case $said in '') exit "$code";; 'nsenter-rs: warning: '*) log warning "$said"; exit "$code";; esac
    (fail "$said") || exit "$code"
}

case $command in
    create) create "$@";;
    start) start "$@";;
    run) run "$@";;
    exec) run_in "$@";;
    state) open_state "$@"; state_of "$status" "$pid"; echo;;
    list)
        take format quiet "$@"
        for dir in "$root"/*/; do
            [ -d "$dir" ] || continue
            open_state "$(basename "$dir")"
            [ "$status" = creating ] || if [ "$quiet" ]; then echo "$id"; else state_of "$status" "$pid"; echo; fi
        done | if [ "$format" = json ] && [ ! "$quiet" ]; then jq -cs .; else cat; fi;;
    kill)
        total=$#; take '' all "$@"; shift $((total - taken))
        open_state "${1:-}"; need created running paused
        signal=${2:-TERM}; signal=${signal#SIG}
        if [ "$all" ] && [ "$made" ]; then
            for each in $(pids); do kill -s "$signal" "$each" 2>/dev/null || :; done
        else
            checked kill -s "$signal" "$pid"
        fi;;
    delete)
        total=$#; take '' force "$@"; shift $((total - taken))
        require_id "${1:-}"
        [ ! "$force" ] || [ -d "$root/$1" ] || exit 0
        remove "$1";;
    pause) open_state "$@"; need running; need_cgroup; checked cgexec-rs --cgroup "$cgroup" --freeze; : >"$dir/paused";;
    resume) open_state "$@"; need paused; checked cgexec-rs --cgroup "$cgroup" --thaw; rm "$dir/paused";;
    update)
        total=$#; take resources '' "$@"; shift $((total - taken))
        open_state "${1:-}"; need created running paused; need_cgroup
        [ "$resources" ] || fail 'update needs --resources FILE, or - for stdin'
        [ "$resources" != - ] || resources=/dev/stdin
        new=$(jq -c --arg of update -f "$program" "$resources" 2>&1) || fail "cannot use $resources: $new"
        printf %s "$new" >"$dir/update.json"
        checked cgexec-rs --oci="$dir/update.json" --cgroup "$cgroup";;
    events)
        total=$#; take interval stats "$@"; shift $((total - taken))
        [ "$stats" ] || fail 'only events --stats is supported'
        open_state "${1:-}"; need created running paused; need_cgroup
        shown=$(cgexec-rs --show --json "$pid") || fail "cannot read the usage of $cgroup"
        printf %s "$shown" | jq -c --arg of stats --arg id "$id" -f "$program";;
    ps)
        total=$#; take format '' "$@"; shift $((total - taken))
        open_state "${1:-}"; need created running paused
        if [ "$format" = json ]; then echo "[$(pids | paste -sd,)]"
        else ps -f -p "$(pids | paste -sd,)"; fi;;
    spec)
        take bundle rootless "$@"
        [ ! -e "${bundle:-.}/config.json" ] || fail "${bundle:-.}/config.json exists"
        jq -n --arg of spec -f "$program" >"${bundle:-.}/config.json";;
    features) jq -n --arg of features -f "$program";;
    *) fail "unknown command \"$command\"";;
esac
