#!/bin/sh
# Runs a build, a test suite or a coding agent so that it can change one directory and nothing else; for ordinary users.
#
#   agent-sandbox.sh [OPTION]... [--] COMMAND [ARGUMENT]...
#     --project DIR         directory that can be changed, except for its existing names that begin with a dot [default: .]
#     --ro DIR              directory that can be read, besides the host's programs (repeatable)
#     --write NAME          make the directory NAME in the project first, e.g. target (needed only without namespaces)
#     --env NAME            pass this variable on, besides PATH, LANG, TERM (repeatable)
#     --reach HOST:PORT     the only address in the network, e.g. of a proxy; inside it is 127.0.0.1:PORT
#     --memory SIZE         memory limit, where a cgroup is delegated [default: 4G]
#     --pids NUMBER         limit on processes, where a cgroup is delegated [default: 1024]
#     --landlock            use Landlock and system call filters only
#     --namespaces          fail where namespaces are refused, instead of using Landlock
#
# With namespaces, the command sees the host's programs read-only, the project, an empty home directory and an empty /tmp,
# its own processes, and no network. It ends with the process that started this script. Where a container or the system
# refuses namespaces, Landlock and system call filters are used, and a line on stderr says what is weaker then.
set -eu

say() { echo "agent-sandbox.sh: $*" >&2; }
fail() { say "$*"; exit 125; }

project=. readable='' made='' names=PATH,LANG,TERM reach='' memory=4G pids=1024 asked='' way=any
newline='
'
while [ $# -gt 0 ]; do
    case $1 in
        --landlock) way=landlock; shift; continue;;
        --namespaces) way=namespaces; shift; continue;;
        --) shift; break;;
        --*) [ $# -gt 1 ] || fail "$1 needs a value";;
        *) break;;
    esac
    case $1 in
        --project) project=$2;;
        --ro) readable=$readable$(cd -- "$2" && pwd -P)$newline;;
        --write) made=$made$2$newline;;
        --env) names=$names,$2;;
        --reach) reach=$2;;
        --memory) memory=$2 asked=yes;;
        --pids) pids=$2 asked=yes;;
        *) fail "unknown option $1";;
    esac
    shift 2
done
[ $# -gt 0 ] || fail 'a command is missing'
project=$(cd -- "$project" && pwd -P)
home=${HOME:-/}
case $project in /|"$(cd -- "$home" && pwd -P)") fail "$project is too much to be a project: use a directory below it";; esac
case $reach in ''|*:*[!0-9]*|*:) [ -z "$reach" ] || fail "expected HOST:PORT, not $reach";; *:*) ;; *) fail "expected HOST:PORT, not $reach";; esac
port=none
[ -z "$reach" ] || port=${reach##*:}
printf %s "$made" | while IFS= read -r name; do
    case $name in ''|.*|*/*) fail "--write makes a directory in the project: $name is no name for it";; esac
    mkdir -p -- "$project/$name"
done

# Colons separate the fields of the options.
field() { printf %s "$1" | sed 's/:/\\:/g'; }

# Calls $1 with the options for everything in the project whose name begins with a dot, and with the other arguments.
with_dotfiles() {
    call=$1; shift
    for path in "$project"/.[!.]* "$project"/..?*; do
        # A link cannot be covered by a mount; what it leads to is outside, or is protected by its own name.
        if [ -e "$path" ] && [ ! -L "$path" ]; then
            path=$(field "$path"); set -- --bind "$path:$path:ro" "$@"
        fi
    done
    "$call" "$@"
}

in_namespaces() {
    # A later mount covers an earlier one: the project, then its dotfiles.
    set -- --chdir "$project" --whitelist-env "$names" --setenv "HOME=$home" -- "$@"
    with_dotfiles with_project "$@"
}

with_project() {
    set -- --bind "$(field "$project"):$(field "$project")" "$@"
    while IFS= read -r path; do
        if [ -n "$path" ]; then
            path=$(field "$path"); set -- --bind "$path:$path:ro" "$@"
        fi
    done <<EOF
$readable
EOF
    # The first namespaces are for the network: what serves --reach is outside of the others. No capability is left for the
    # command; --std filters system calls and sets no_new_privs.
    limited unshare-rs --map-current-user --keep-caps -- \
        netns-rs exec --new ${reach:+--reach "$reach"} -- \
        unshare-rs --mount --pid --ipc --uts --cgroup --fork --init --die-with-parent --hostname sandbox -- \
        chroot-rs --std --host-root --capabilities none --dir "$(field "$home"):700" "$@"
}

# Limits the command by a cgroup if there is one for us, and replaces this shell unless $keeps is set.
limited() {
    if cgexec-rs --memory "$memory" --pids "$pids" -- true 2>/dev/null; then
        set -- cgexec-rs --memory "$memory" --pids "$pids" -- "$@"
    elif [ -n "$asked" ]; then
        say 'no cgroup is delegated to us, so memory and processes are not limited (cgexec-rs --memory 1G -- true says why)'
    fi
    if [ -n "${keeps:-}" ]; then "$@"; else exec "$@"; fi
}

# What Landlock leaves to a process is what a rule allows: below the host's programs reading, in the project everything but
# new names in its top directory, because a right there would hold for its dotfiles, too.
by_landlock() {
    set -- --chdir "$project" --whitelist-env "$names" --setenv "HOME=$private" --setenv "TMPDIR=$private" -- "$@"
    for path in "$project"/*; do
        [ ! -e "$path" ] || [ -L "$path" ] || set -- --landlock-rw "$path" "$@"
    done
    while IFS= read -r path; do
        [ ! -e "$path" ] || set -- --landlock-ro "$path" "$@"
    done <<EOF
$project
/usr
/bin
/sbin
/lib
/lib64
/proc
/etc/alternatives
/etc/group
/etc/hosts
/etc/ld.so.cache
/etc/localtime
/etc/nsswitch.conf
/etc/passwd
/etc/ssl
$readable
EOF
    for path in null zero full random urandom tty; do
        [ ! -e "/dev/$path" ] || set -- --landlock "read_file,write_file:/dev/$path" "$@"
    done
    # A user has no capabilities to drop.
    [ "$(id -u)" != 0 ] || set -- --capabilities none "$@"
    # Two filters: ours for sockets, which Landlock knows only in part, and the default one.
    limited unshare-rs --die-with-parent -- \
        chroot-rs --keep-root --seccomp "$private/.sockets.json" -- \
        chroot-rs --keep-root --seccomp default --new-session --preserve-fds 0 --landlock-try --landlock-scope all \
            --landlock-connect "$port" --landlock-bind none --landlock-rw "$private" "$@"
}

# Refuses sockets: all, or with --reach all but those of TCP.
sockets() {
    if [ -z "$reach" ]; then
        printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97}]}'
        return
    fi
    refuse='{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97,"args":[{"index":'
    printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":['
    # Families: 2 is AF_INET, 10 is AF_INET6. Types: 1 is SOCK_STREAM; the upper bits are flags.
    for family in 3 4 5 6 7 8 9; do printf '%s0,"value":%s,"op":"SCMP_CMP_EQ"}]},' "$refuse" $family; done
    for type in 0 2 3 4 5 6 10; do
        printf '%s1,"value":15,"valueTwo":%s,"op":"SCMP_CMP_MASKED_EQ"}]},' "$refuse" $type
    done
    printf '%s0,"value":2,"op":"SCMP_CMP_LT"}]},%s0,"value":10,"op":"SCMP_CMP_GT"}]}]}' "$refuse" "$refuse"
}

if [ $way != landlock ]; then
    if refusal=$(keeps=1; in_namespaces true 2>&1 >/dev/null); then
        in_namespaces "$@"
    fi
    say "namespaces are refused here:"
    printf '%s\n' "$refusal" >&2
    [ $way = any ] || exit 125
fi
say 'using Landlock: other processes and the metadata of other files stay visible, the command can leave processes behind,'
say "and it cannot make new names in $project itself (--write makes them)${reach:+; port $port can be reached on every host}"
private=$(mktemp -d)
trap 'rm -rf -- "$private"' EXIT
sockets >"$private/.sockets.json"
keeps=1
by_landlock "$@"
