#!/bin/sh
# Runs a build, a test suite or a coding agent so that it can change one directory and nothing else; for ordinary users.
#
#   agent-sandbox.sh [OPTION]... [--] COMMAND [ARGUMENT]...
#     --project DIR         directory that can be changed, except for its existing names that begin with a dot [default: .]
#     --ro DIR              directory outside of the project that can be read, besides the host's programs (repeatable)
#     --write NAME          make the directory NAME in the project first, e.g. target (needed only without namespaces)
#     --env NAME            pass this variable on, besides PATH, LANG, TERM (repeatable)
#     --reach HOST:PORT     the only address in the network, e.g. of a proxy; inside it is 127.0.0.1:PORT
#     --allow-links         run also if a name that begins with a dot is a link, which the command can then replace
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

project=. roots='' readable='' made='' names=PATH,LANG,TERM reach='' memory=4G pids=1024 asked='' way=any links='' CDPATH=''
parent=$PPID
newline='
'

# Sets $real to the path of the directory $1 without links. Newlines separate paths here, and colons separate the fields of
# an option: after a backslash a colon is a part of the name.
resolve() {
    real=$(cd -- "$1" && pwd -P && echo .) || fail "cannot enter $1"
    real=${real%"$newline."}
    case $real in *"$newline"*|*\\) fail "$real: a name with a newline, or with a backslash at its end, is not supported";; esac
}

while [ $# -gt 0 ]; do
    case $1 in
        --landlock) way=landlock; shift; continue;;
        --namespaces) way=namespaces; shift; continue;;
        --allow-links) links=allowed; shift; continue;;
        --) shift; break;;
        --*) [ $# -gt 1 ] || fail "$1 needs a value";;
        *) break;;
    esac
    case $1 in
        --project) project=$2;;
        --ro)
            case $2 in
                *"$newline"*) fail "$2: a name with a newline is not supported";;
                /*) roots=$roots$2$newline;;
                *) roots=$roots$(pwd -P)/$2$newline;;
            esac;;
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
home=${HOME:-/}
[ "$home" != / ] || home=/tmp/home

# From here on, the project is the working directory. A command that still runs in another sandbox may swap each name in it for
# a link at any time. So outside of the new root such a name is looked up only where links are refused.
resolve "$project"; project=$real
cd -- "$project"; [ "$(pwd -P)" = "$project" ] || fail "$project has just been replaced"
if [ "$project" = / ]; then fail '/ is too much to be a project: use a directory below it'; fi
if [ -d "$home" ]; then
    resolve "$home"
    case $real/ in "$project"/*) fail "$project is too much to be a project: it contains the home directory $home";; esac
fi
for path in .[!.]* ..?*; do
    [ ! -L "$path" ] || [ -n "$links" ] || \
        fail "$path in $project is a link, which cannot be protected: replace it by what it leads to, or add --allow-links"
done

# Adds $1 to the directories that can be read. A name in the project could lead anywhere.
add_readable() {
    resolve "$1"
    found=$real part=$1
    while [ -n "$part" ]; do
        resolve "$part"
        rest=${1#"$part"}
        case $real/${rest#/} in
            "$project"/..|"$project"/../*) ;;
            "$project"/*) fail "--ro $1 is in the project, which can be changed";;
        esac
        part=${part%/*}
    done
    readable=$readable$found$newline
}
while IFS= read -r path; do
    [ -z "$path" ] || add_readable "$path"
done <<EOF
$roots
EOF

case $reach in ''|*:*[!0-9]*|*:) [ -z "$reach" ] || fail "expected HOST:PORT, not $reach";; *:*) ;; *) fail "expected HOST:PORT, not $reach";; esac
port=none
[ -z "$reach" ] || port=${reach##*:}
printf %s "$made" | while IFS= read -r name; do
    case $name in ''|.*|*/*) fail "--write makes a directory in the project: $name is no name for it";; esac
    mkdir -p -- "./$name"
done

field() { printf %s "$1" | sed 's/:/\\:/g'; }

# Calls $1 with a command line that makes namespaces, with $2 as the address to reach, and runs the rest, which is options of
# chroot-rs and a command. The first namespaces are for the network: what serves --reach is outside of the others. No capability
# is left for the command; --std filters system calls and sets no_new_privs.
with_namespaces() {
    call=$1 relayed=$2; shift 2
    "$call" unshare-rs --map-current-user --keep-caps -- \
        netns-rs exec --new ${relayed:+--reach "$relayed"} -- \
        unshare-rs --mount --pid --ipc --uts --cgroup --fork --init --die-with-parent="$parent" --hostname sandbox -- \
        chroot-rs --std --host-root --capabilities none "$@"
}

in_namespaces() {
    set -- --chdir "$project" --whitelist-env "$names" --setenv "HOME=$home" -- "$@"
    # After the project, and in the new root, where chroot-rs follows no link.
    for path in .[!.]* ..?*; do
        if [ -z "$links" ] || [ ! -L "$path" ]; then
            [ ! -e "$path" ] || set -- --readonly-path "$project/$path" "$@"
        fi
    done
    set -- --bind ".:$(field "$project")" "$@"
    while IFS= read -r path; do
        if [ -n "$path" ]; then
            path=$(field "$path"); set -- --bind "$path:$path:ro" "$@"
        fi
    done <<EOF
$readable
EOF
    with_namespaces limited "$reach" --tmpfs "$(field "$home"):mode=700,exec" "$@"
}

# Whether namespaces are refused is tried in / and with fixed words, so that nothing in the project decides it. A lack of
# processes, memory or descriptors is no refusal: a command that still runs can cause it.
are_refused() {
    status=0
    refusal=$(cd / && parent=0 && with_namespaces command '' -- true 2>&1 >/dev/null) || status=$?
    [ $status != 0 ] || return 1
    case $status$refusal in
        125*': EPERM '*|125*': EACCES '*|125*': ENOSYS '*|125*': EINVAL '*|125*': ENOSPC '*) say 'namespaces are refused here:';;
        *) way=namespaces; say 'cannot make namespaces:';;
    esac
    printf '%s\n' "$refusal" >&2
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
    for path in *; do
        [ -L "$path" ] || [ ! -e "$path" ] || set -- --landlock-rw "./$path" "$@"
    done
    while IFS= read -r path; do
        [ ! -e "$path" ] || set -- --landlock-ro "$(readlink -f -- "$path")" "$@"
    done <<EOF
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
            --landlock-nofollow --landlock-connect "$port" --landlock-bind none --landlock-rw "$private" --landlock-ro . "$@"
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
    are_refused || in_namespaces "$@"
    [ $way = any ] || exit 125
fi
say 'using Landlock: other processes and the metadata of other files stay visible, the command can leave processes behind,'
say "and it cannot make new names in $project itself (--write makes them)${reach:+; port $port can be reached on every host}"
resolve "${TMPDIR:-/tmp}"
case $real/ in "$project"/*) fail "TMPDIR is in the project, which can be changed";; esac
private=$(mktemp -d -- "$real/agent-sandbox.XXXXXXXX")
trap 'rm -rf -- "$private"' EXIT
sockets >"$private/.sockets.json"
keeps=1
by_landlock "$@"
