//! What another user's state files cost root, who searches for a container: bytes and calls as strace(1) counts them,
//! so that a slow machine changes nothing. The control is root's own files, which are read whatever their length.

use crate::harness::need::{BASH, JQ, SETPRIV, STRACE, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::state_files::run;

/// `$U` is a directory of another user; `cost COMMAND` sets how many bytes COMMAND read and how many files in `$U/crun`
/// it opened, and prints its warning about limits; `claim FILE PID` writes crun's state of a process.
const COST: &str = r#"
U=/run/user/54321; mkdir -p $U/crun /run/crun; chown 54321 $U $U/crun
cost() { strace -qq -f -e trace=read,openat2,pread64 -o trace "$@" >/dev/null 2>err
    bytes=$(awk '/read.* = [0-9]+$/ { sum += $NF } END { printf "%d", sum }' trace); files=$(grep -c 'openat2.*\(/status\|/state.json\)"' trace); grep -o 'skipped.*' err; }
claim() { mkdir -p $(dirname $1); printf '{"pid":%s,"process-start-time":%s}' $2 $(sed 's/.*) //' /proc/$2/stat | cut -d' ' -f20) >$1; }
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("sparse or numerous state files of a user cost root next to nothing", &[BASH, JQ, SETPRIV, STRACE, UNSHARE], |world| {
        let line = r#"
            cost nsenter-rs --list --containers; BEFORE=$bytes
            # Root's files are read, whatever that costs.
            for i in 1 2 3; do mkdir /run/crun/b$i; truncate -s 16M /run/crun/b$i/status; done
            cost nsenter-rs --list --containers; [ $((bytes - BEFORE)) -ge $((40 << 20)) ] && echo read all of root; rm -r /run/crun/b*
            mkdir $U/crun/b{1..2000}; truncate -s 16M $U/crun/b{1..2000}/status
            become_user sleep 86464 & P=$!; ALL="$ALL $P"; asleep $P; claim $U/crun/fnd-mine/status $P; chown -R 54321 $U
            for command in "--list --containers" "--find fnd-none --json" "--find crun@54321:fnd-mine --json" "--target fnd-none --all true"; do
                cost nsenter-rs $command; [ $((bytes - BEFORE)) -lt $((8 << 20)) ] || echo "$command: $bytes bytes"; echo "$command: $files"
            done
            found crun@54321:fnd-mine
            # Many empty directories.
            rm -r $U/crun/b*; mkdir $U/crun/d{1..5000}; cost nsenter-rs --list --containers; echo $files
            # Many files that are just below the limit.
            rm -r $U/crun/d*; mkdir $U/crun/e{1..100}; for f in $U/crun/e*; do truncate -s 65536 $f/status; done; chown -R 54321 $U
            cost nsenter-rs --list --containers; [ $((bytes - BEFORE)) -lt $((12 << 20)) ] || echo $bytes
        "#;
        let limits = "state files of user 54321: at most 64 KiB of a file, and 4096 files and 4 MiB in total, are read";
        run(world, "limits", &format!("{COST}{line}")).stdout_is(&format!(
            "read all of root\nskipped 2000 {limits}\n--list --containers: 2001\n--find fnd-none --json: 2\n\
             --find crun@54321:fnd-mine --json: 1\n--target fnd-none --all true: 2\nP crun\nskipped 2953 {limits}\n4096\n\
             skipped 37 {limits}\n"
        ));
    })
    .root_only(),
    Row::new("another user's state file does not affect a stopped container of root", &[BASH, JQ, SETPRIV, UNSHARE], |world| {
        let line = r#"
            C=$(id c) S=/var/lib/containers/storage/overlay-containers; mkdir -p $S/$C/userdata /run/containers/storage
            printf '[{"id":"%s","names":["fnd-stopped"],"metadata":"{}"}]' $C >$S/containers.json
            become_user sleep 86464 & P=$!; ALL="$ALL $P"; asleep $P; claim $U/crun/$C/status $P; chown -R 54321 $U
            found fnd-stopped
            # The control: the attack works with root's own file.
            claim /run/crun/$C/status $P; found fnd-stopped
        "#;
        run(world, "stopped", &format!("{COST}{line}"))
            .stdout_is("nsenter-rs: cannot find a container named \"fnd-stopped\": no running container has this name or id\nP podman\n");
    })
    .root_only(),
];
