#!/bin/sh
# create, start, state, kill and delete of the OCI runtime specification, over the five tools.
#
#   oci-runtime.sh [--root DIR] create --bundle BUNDLE ID     everything is set up, and nothing runs yet
#   oci-runtime.sh [--root DIR] start ID
#   oci-runtime.sh [--root DIR] state ID                      as JSON
#   oci-runtime.sh [--root DIR] exec ID COMMAND...
#   oci-runtime.sh [--root DIR] kill ID [SIGNAL]
#   oci-runtime.sh [--root DIR] delete [--force] ID
#
# It needs jq(1), to hand each tool its part of config.json: limits and devices to cgexec-rs, a network to netns-rs,
# namespaces, id maps and the host name to unshare-rs, namespaces that exist to nsenter-rs, and all else to chroot-rs, which waits at
# a FIFO until `start` writes to it. Terminals are left out; a limit that no tool keeps is an error. Hooks run where the
# specification puts them: those before the root changes run before chroot-rs, so its mounts are not there yet. A hook's own
# name is its path.
set -eu

fail() { echo "oci-runtime.sh: $*" >&2; exit 1; }

# Root's state is at a fixed place: after su(1), XDG_RUNTIME_DIR is a user's. A user's is of mode 700, by the XDG rules.
# What is in it decides which processes `kill` kills.
if [ "${1:-}" = --root ]; then
    root=$2; shift 2
elif [ "$(id -u)" = 0 ]; then
    root=/run/oci-runtime
elif [ "$(stat -c '%u %a' "${XDG_RUNTIME_DIR:-/}")" = "$(id -u) 700" ]; then
    root=$XDG_RUNTIME_DIR/oci-runtime
else
    fail 'XDG_RUNTIME_DIR is no directory of yours with mode 700: use --root DIR'
fi
[ ! -e "$root" ] || [ -O "$root" ] || fail "$root belongs to another user"
command=${1:-}; [ $# -gt 0 ] && shift
# With the rights of the container's process and no more. The kernel shows all of them to root alone.
like=--like-target; [ "$(id -u)" = 0 ] || like=--like-target-try

# Field 22 of /proc/PID/stat. A name may have blanks and parentheses, so count from the last one.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

require_id() { case $1 in ''|.|..|*[!A-Za-z0-9_+.-]*) fail "\"$1\" is no container id";; esac; }

open_state() {
    require_id "${1:-}"
    id=$1 dir=$root/$1
    [ -d "$dir" ] || fail "there is no container $id"
    pid=$(cat "$dir/pid" 2>/dev/null || echo 0)
    case $pid in ''|*[!0-9]*) pid=0;; esac
    # A pid alone may be somebody else's by now.
    began=$(start_time "$pid")
    if [ -z "$began" ] || [ "$began" != "$(cat "$dir/start_time" 2>/dev/null)" ]; then
        status=stopped pid=0
    elif [ -p "$dir/start" ]; then
        status=created
    else
        status=running
    fi
}

# The hooks of one kind, as lines of shell code. They get $state on stdin, and nothing but the environment that they name.
# $1 is the kind, $2 what follows a hook that fails, $3 the code in front of a program.
hooks() {
    jq -r --arg kind "$1" --arg failed "$2" --arg through "$3" '
        def assignment: if test("^[^-=][^=]*=") then . else error("\(tojson) of a hook is no variable") end;
        def program: if startswith("/") then . else error("\(tojson) of a hook is no absolute path") end;
        .hooks[$kind][]?
        | [ (.timeout // empty | if . > 0 then "timeout", "-k", "1", tostring else error("a timeout of a hook is \(.)") end),
            "env", "-i", "--", (.env[]? | assignment) ] as $begin
        | [ (.path | program), .args[1:][]? ] as $program
        | "printf %s \"$state\" | \($begin | @sh) \($through) \($program | @sh) >&2 || \($failed)"' "$bundle/config.json"
}

warn_of_hook() { echo "oci-runtime.sh: warning: a hook failed: $1" >&2; }

# The state of a container, on one line.
state_of() {
    jq -c --arg id "$id" --arg status "$1" --argjson pid "$2" --arg bundle "$bundle" \
        '{ociVersion, id: $id, status: $status, pid: $pid, bundle: $bundle, annotations: (.annotations // {})}' "$bundle/config.json"
}

# The tools and their options, a word a line; what jq is asked in it is the specification's config-linux.md. A value is
# in one word with its option, and a word with a control character is refused: it would become several arguments.
words='
  def word: if explode | any(. < 32 or . == 127)
    then error("config.json has a control character in \(tojson)") else . end;
  def new(kind): any(.linux.namespaces[]?; .type == kind and .path == null);
  def own(kinds): kinds | select(. as $kind | $all | new($kind)) | "--\(.)";
  def network: if new("network") then "netns-rs", "exec", "--new", "--" else empty end;
  def map(option; ranges; $own):
    # Without a map, the caller is root, as under crun. A user may map its own id only like this.
    if new("user") and (ranges // []) == [] then if $own == 0 then "--map-\(option)s=0:0:1" else "--map-\(option)=0" end
    elif $own != 0 and (ranges | length == 1) and ranges[0].size == 1 and ranges[0].hostID == $own
    then "--map-\(option)=\(ranges[0].containerID)"
    else ranges[]? | "--map-\(option)s=\(.containerID):\(.hostID):\(.size)" end;
  def join:
    if .type as $kind | all("user", "mount", "pid", "ipc", "uts", "cgroup", "time", "network"; . != $kind)
    then error("\(.type | tojson) is no kind of namespace")
    elif .path | type != "string" or (startswith("/") | not) then error("\(.path | tojson) is no absolute path")
    else "--\({network: "net"}[.type] // .type)=\(.path)" end;
  def asks:
    if type == "object" or type == "array" then any(.[]; asks)
    else . as $value | all(null, 0, -1, false, ""; . != $value) end;
  # cgexec-rs only warns of a member that it does not know.
  { memory: "limit swap reservation kernel kernelTCP swappiness disableOOMKiller useHierarchy checkBeforeUpdate",
    cpu: "shares quota period burst realtimeRuntime realtimePeriod cpus mems idle", pids: "limit",
    blockIO: "weight leafWeight weightDevice throttleReadBpsDevice throttleWriteBpsDevice throttleReadIOPSDevice throttleWriteIOPSDevice",
    network: "classID priorities", hugepageLimits: null, rdma: null, unified: null, devices: null } as $known
  | [ (.linux.resources // {}) | to_entries[] | .key as $of
      | if $known[$of] and (.value | type == "object") then .value | to_entries[] | .member = .key | .key = "\($of).\(.key)" else . end
      | select(.value | asks)
      | select(if .member then .member as $member | $known[$of] / " " | index($member) else $known | has($of) end | not)
      | .key | tojson ] as $others
  | if $others != [] then error("nothing here keeps the limits \($others | join(", ")) of linux.resources") else . end
  | [ .linux.namespaces[]? | select(.path != null) | join ] as $joined
  # 1024 is the share that every group begins with.
  | (if .linux.resources // {} | if .cpu.shares? == 1024 then del(.cpu.shares) else . end | asks then "cgexec-rs", "--oci=\($limits)", "--" else empty end),
    (if $joined != [] then "nsenter-rs", $joined[], "--no-fork", "--preserve-fds=4", "--" else empty end),
    (if new("user") then empty else network end),
    "unshare-rs", "--fork", "--pid-file=\($pid_file)", own("user", "pid", "time"),
    (map("user"; .linux.uidMappings; $uid), map("group"; .linux.gidMappings; $gid)),
    # The user namespace first: its root then owns the others, and the files that are made for the container.
    (if new("user") then "--setuid=0", "--setgid=0", "--", network, "unshare-rs" else empty end),
    own("mount", "ipc", "uts", "cgroup"),
    # chroot-rs makes the mounts private, except those that the bundle shares with the host.
    (if new("mount") then "--propagation=unchanged" else empty end),
    (if new("uts") and .hostname != null then "--hostname=\(.hostname)" else empty end)'

create() {
    [ "${1:-}" = --bundle ] || fail "create needs --bundle BUNDLE ID"
    bundle=$(realpath "$2") id=${3:-}
    require_id "$id"
    dir=$root/$id
    mkdir -p -m 700 "$root"
    mkdir -m 700 "$dir" || exit 1
    trap 'rm -rf "$dir"' EXIT
    mkfifo "$dir/start" "$dir/ready" "$dir/go"
    echo "$bundle" >"$dir/bundle"
    # env(1) would take a path with = for a variable.
    here='sh -c '"'"'exec "$0" "$@"'"'"
    before=$(for kind in prestart createRuntime; do hooks "$kind" 'return 1' "$here"; done)
    inside=$(hooks createContainer 'exit 125' "$here")
    hooks startContainer 'return 1' '"$nsenter" --target "$pid" --all "$like" --' >"$dir/startContainer"
    for kind in poststart poststop; do hooks "$kind" "warn_of_hook $kind" "$here" >"$dir/$kind"; done
    config=$bundle/config.json limits=$bundle/config.json
    # Root of a user namespace can make no device that opens, and no rules for devices.
    read -r first outside count </proc/self/uid_map
    if [ "$(id -u) $first $outside $count" != '0 0 0 4294967295' ]; then
        config=$dir/config.json limits=$dir/config.json
        jq 'del(.linux.resources.devices?)' "$bundle/config.json" >"$config"
    fi
    lines=$(jq -r --argjson uid "$(id -u)" --argjson gid "$(id -g)" --arg pid_file "$dir/pid" --arg limits "$limits" ". as \$all | $words | word" "$config")
    # One word a line becomes one argument each.
    IFS='
'
    set -f
    set -- $lines -- sh -c 'echo made >&3; read -r state <&6; [ "$state" ] || exit 125; eval "$1"; shift; exec "$@" 6<&-' sh "$inside" \
        chroot-rs --oci "$bundle" --config-fd 4 --hooks-by-caller --ready-fd 3 --block-fd 5
    unset IFS
    # Its stdin is ours, which a shell in the background would not have by itself. What is in a directory of mode 700 is
    # opened here: root of a user namespace may not search that directory.
    { "$@" 3>"$dir/ready" 4<"$bundle/config.json" 5<>"$dir/start" 6<>"$dir/go" && code=0 || code=$?; [ ! -d "$dir" ] || echo "$code" >"$dir/exit_status"; } <&0 &
    # An end of file in place of a line: the chain ended, and has said why. Nothing may write here when this is removed.
    exec 7<"$dir/ready"
    read -r _ <&7 || { wait "$!"; exit 1; }
    pid=$(cat "$dir/pid")
    start_time "$pid" >"$dir/start_time"
    state=$(state_of creating "$pid")
    # An empty line ends the chain.
    eval "run() { $before
        :; }"
    if run; then echo "$state"; else echo; echo 'oci-runtime.sh: a hook failed' >&2; fi 1<>"$dir/go"
    read -r _ <&7 || { wait "$!"; exit 1; }
    exec 7<&-
    rm "$dir/ready" "$dir/go"
    trap - EXIT
}

start() {
    open_state "$@"
    [ "$status" = created ] || fail "container $id is $status"
    bundle=$(cat "$dir/bundle")
    state=$(state_of created "$pid") nsenter=$(command -v nsenter-rs)
    eval "run() { $(cat "$dir/startContainer")
        :; }"
    run || { kill -KILL "$pid"; fail 'a hook failed: startContainer'; }
    # Opened for both directions, so that nobody waits if the container has just ended.
    echo 1<>"$dir/start"
    rm "$dir/start"
    state=$(state_of running "$pid")
    . "$dir/poststart"
}

delete() {
    force=
    [ "${1:-}" = --force ] && { force=yes; shift; }
    open_state "$@"
    if [ "$status" != stopped ]; then
        [ "$force" ] || [ "$status" = created ] || fail "container $id is $status"
        kill -KILL "$pid"
        while open_state "$id" && [ "$status" != stopped ]; do sleep 0.05; done
    fi
    bundle=$(cat "$dir/bundle") after=$(cat "$dir/poststop")
    rm -r "$dir"
    [ -z "$after" ] || { state=$(state_of stopped 0); eval "$after"; }
}

case $command in
    create) create "$@";;
    start) start "$@";;
    state)
        open_state "$@"
        jq -n --arg id "$id" --arg status "$status" --argjson pid "$pid" --arg bundle "$(cat "$dir/bundle")" \
            '{ociVersion: "1.0.2", id: $id, status: $status, pid: $pid, bundle: $bundle}';;
    exec)
        open_state "$@"; shift
        [ "$status" = running ] || fail "container $id is $status"
        exec nsenter-rs --target "$pid" --all "$like" -- "$@";;
    kill)
        open_state "$1"
        [ "$status" != stopped ] || fail "container $id is stopped"
        signal=${2:-TERM}
        kill -s "${signal#SIG}" "$pid";;
    delete) delete "$@";;
    *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 1;;
esac
