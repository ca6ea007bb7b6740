//! cgexec-rs called by the names of libcgroup's tools, compared with those of Debian, and where it does better.

use crate::harness::need::{BASH, Need};
use crate::harness::row::Row;

use super::SHELL;

/// Debian's libcgroup, to compare with.
const CGROUP_TOOLS: Need = Need::Program("cgcreate", "cgroup-tools");

/// Lines for a shell. `$1` prints the tool of a name: the installed one in one run and ours in the other. Before each of
/// them, the groups lc-a and lc-a/inner exist in the hierarchies of memory and pids, and the process `$P` is in lc-a.
const CASES: &[&str] = &[
    "cgcreate -g pids:lc-b; echo $?",
    "cgcreate -g pids,memory:lc-b/c/d",
    "cgcreate -g pids:lc-b -g memory:/lc-c",
    "cgcreate -g pids:lc-a",
    "cgcreate -a daemon:bin -t nobody:nogroup -g pids:lc-b; stat -c '%U:%G %a' $p/lc-b $p/lc-b/tasks $p/lc-b/pids.max",
    "cgcreate -d 700 -f 600 -s 640 -g pids:lc-b; stat -c %a $p/lc-b $p/lc-b/tasks $p/lc-b/pids.current",
    "cgcreate -g nosuch:lc-b",
    "cgcreate -g lc-b",
    "cgcreate",
    "cgcreate -x",
    "cgcreate -g pids:lc-b extra",
    "cgset -r pids.max=12 lc-a",
    "cgset -r pids.max=12 -r memory.limit_in_bytes=64M lc-a lc-a/inner",
    "cgset -r pids.max=12 /lc-a",
    "cgset -r pids.max=much lc-a",
    "cgset -r pids.nosuch=1 lc-a",
    "cgset -r nosuch.max=1 lc-a",
    "cgset -r pids.max=12 lc-none",
    "cgset -r pids.max lc-a",
    "cgset -r pids.max=12",
    "cgset lc-a",
    "cgset -r pids.max=12 lc-a; cgset --copy-from lc-a lc-a/inner",
    "cgget -r pids.max lc-a",
    "cgget -r pids.max -r memory.limit_in_bytes lc-a lc-a/inner",
    "cgget -r memory.oom_control lc-a",
    "cgget -n -r pids.max lc-a",
    "cgget -v -r pids.max lc-a",
    "cgget -nv -r pids.max -r pids.current lc-a",
    "cgget -g pids:lc-a | sort",
    "cgget -g pids lc-a | sort",
    "cgget -g pids:/lc-a/inner | sort",
    "cgget -g pids -r pids.max lc-a",
    "cgget -g pids:lc-a lc-a",
    "cgget -r pids.max",
    "cgget -r nodot lc-a",
    "cgget",
    "cgclassify -g pids:lc-a/inner $P; echo $?",
    "cgclassify -g pids,memory:lc-a/inner --sticky $P; echo $?",
    "cgclassify -g pids:lc-none $P",
    "cgclassify -g pids:lc-a/inner 4194305; echo $?",
    "cgclassify -g pids:lc-a/inner word $P; echo $?",
    "cgclassify",
    "cgdelete pids:lc-a/inner",
    "cgdelete pids:lc-a",
    "cgdelete -r pids:lc-a; grep pids /proc/$P/cgroup | sed 's/.*://'",
    "cgclassify -g pids:lc-a/inner $P; cgdelete pids:lc-a/inner; sed -n 's/.*:pids:.*lc-/lc-/p' /proc/$P/cgroup",
    "cgdelete pids:lc-none; echo $?",
    "cgdelete lc-a",
    "cgexec -g pids:lc-a/inner sed -n 's/.*:pids:.*lc-/lc-/p' /proc/self/cgroup",
    "cgexec -g pids,memory:lc-a sh -c 'grep -c lc-a /proc/self/cgroup; exit 7'; echo $?",
    "cgexec --sticky -g pids:lc-a true; echo $?",
    "cgexec -g pids:lc-a sh -c 'kill -9 $$'; echo $?",
    "cgexec -g pids:lc-none true; echo $?",
    "cgexec -g pids:lc-a /nonexistent; echo $?",
    "cgexec -g pids:lc-a ls -d -- /proc/self",
    "cgexec",
    "lscgroup pids:lc-a",
    "lscgroup pids:/lc-a memory:lc-a/inner",
    "lscgroup -g pids:lc-a",
    "lscgroup | grep lc-a | sort",
    "lscgroup -x",
];

/// Puts tools of libcgroup's names first in PATH; `$names` is their directory.
const NAMES: &str = r#"
names=$PWD/names; mkdir $names
for name in cgexec cgcreate cgset cgxset cgget cgxget cgclassify cgdelete lscgroup lssubsys cgsnapshot; do
    ln -s "$(command -v cgexec-rs)" $names/$name
done
trap 'rm -r $names' EXIT
PATH=$names:$PATH
"#;

/// Runs each case of `$CASES` with both, and prints where they differ: in what is printed, in success, in what is left.
const COMPARE: &str = r#"
p=$(point cgroup pids); m=$(point cgroup memory)
top=$(sed -n 's/^[0-9]*:pids://p' /proc/self/cgroup)
clear_all() {
    for round in $(seq 50); do
        for group in $p/lc-* $m/lc-*; do
            find $group -depth -type d 2>/dev/null | while read -r inner; do
                while read -r pid; do echo $pid >${inner%%/lc-*}/cgroup.procs; done <$inner/cgroup.procs; rmdir $inner
            done 2>/dev/null
        done
        ls -d $p/lc-* $m/lc-* >/dev/null 2>&1 || return 0
        sleep 0.05
    done
}
one() {
    mkdir -p $p/lc-a/inner $m/lc-a/inner
    sleep 300 & P=$!
    echo $P >$p/lc-a/cgroup.procs; echo $P >$m/lc-a/cgroup.procs
    (PATH=$1; eval "$2") 2>/dev/null </dev/null | sed "s/\b$P\b/P/g; s|$top/lc|/lc|"
    [ ${PIPESTATUS[0]} = 0 ] && echo ended well || echo failed
    (cd $p; find . -path "./lc-*" -name pids.max | sort | while read -r file; do echo "$file $(<$file)"; done)
    (cd $m; find . -path "./lc-*" -name memory.limit_in_bytes | sort | while read -r file; do echo "$file $(<$file)"; done)
    sed -n 's/.*:\(pids\|memory\):.*lc-/\1 lc-/p' /proc/$P/cgroup
    kill $P; wait $P 2>/dev/null; clear_all
}
clear_all
while IFS= read -r line; do
    peer=$(one "${PATH#$names:}" "$line"); ours=$(one "$PATH" "$line")
    [ "$peer" = "$ours" ] || printf '%s\n  peer: %s\n  ours: %s\n' "$line" "${peer//$'\n'/ | }" "${ours//$'\n'/ | }"
done <<<"$CASES"
"#;

/// Rules, with a line end for each `|`.
const RULES: &[&str] = &[
    "* pids lr-a",
    "root pids lr-a|% memory lr-a|* pids lr-b",
    "@root pids lr-a/inner",
    "nosuchuser pids lr-b|% memory lr-b|root pids lr-a",
    "daemon pids lr-a|* memory lr-b",
    "@lr-group pids lr-b|root memory lr-a",
    "root:sh pids lr-a|root:sleep pids lr-a|* pids lr-b",
    "root:/bin/sh pids lr-a|root:/usr/bin/sleep pids lr-a|* pids lr-b",
    "root:other pids lr-a|% memory lr-a|* memory lr-b",
    "# comment|| * \t pids,memory   lr-a # comment",
    "* pids /lr-a/",
    "* pids lr-none",
    "* nosuch lr-a",
    "* pids lr-a/%u-%U-%g-%G",
    "* pids lr-new/%u/x|% memory lr-a",
    "* pids lr-a/a\\%u",
    "* pids lr-a/%x",
    "root pids",
    "root",
    "* pids lr-a|* pids",
];

/// Runs a command and moves a process by each of `$RULES` with both, in an /etc of its own, and prints where they differ; then
/// the statuses without rules.
const FOLLOW: &str = r#"
mkdir -p etc || exit 1
printf 'root:x:0:0::/:\ndaemon:x:1:1::/:\n' >etc/passwd; printf 'root:x:0:\ndaemon:x:1:\nlr-group:x:7:daemon,root\n' >etc/group
cp /etc/nsswitch.conf /etc/ld.so.cache etc/ 2>/dev/null
# Its links to awk and others are not there.
p=$(point cgroup pids); m=$(point cgroup memory)
touch etc/cgconfig.conf; mount --bind etc /etc || exit 1
clear_all() { for i in $(seq 100); do find $p/lr-* $m/lr-* -depth -type d -exec rmdir {} + 2>/dev/null; ls -d $p/lr-* $m/lr-* >/dev/null 2>&1 || return 0; sleep 0.05; done; }
of() { sed -n 's/.*:\(pids\|memory\):.*\/lr-/\1 lr-/p' $1 | sort; }
one() {
    mkdir -p $p/lr-a/inner $m/lr-a $p/lr-b $m/lr-b
    (PATH=$1; exec 2>/dev/null </dev/null
     cgexec sh -c 'exec cat /proc/self/cgroup' | of /dev/stdin; [ ${PIPESTATUS[0]} = 0 ] && echo ran
     sleep 86443 & P=$!; until grep -q sleep /proc/$P/comm; do :; done
     cgclassify $P && echo moved; of /proc/$P/cgroup; kill $P; wait $P) | grep -v Error
    (cd $p; find . -path './lr-*' -type d | sort); clear_all
}
peers=${PATH#$names:}; clear_all
while IFS= read -r rule; do
    [ "$rule" ] || continue
    printf '%b\n' "${rule//|/\\n}" >/etc/cgrules.conf
    peer=$(one "$peers"); ours=$(one "$PATH")
    [ "$peer" = "$ours" ] || printf '%s\n  peer: %s\n  ours: %s\n' "$rule" "${peer//$'\n'/ | }" "${ours//$'\n'/ | }"
done <<<"$RULES"
rm -f /etc/cgrules.conf
(PATH=$peers; cgexec true >/dev/null 2>&1; echo -n "$? "); cgexec true 2>/dev/null; echo $?
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("called by the names of libcgroup's tools, cgexec-rs does what they do", &[BASH, CGROUP_TOOLS], |world| {
        let cases: Vec<_> = CASES.iter().copied().filter(|case| world.chooses(case)).collect();
        let script = format!("{SHELL}{NAMES}CASES=$(cat <<'E'\n{}\nE\n)\n{COMPARE}", cases.join("\n"));
        world.sh(&script).succeeds().stdout_is("").stderr_is("");
    })
    .root_only()
    .host_only(),
    Row::new("without -g, cgexec and cgclassify follow the rules of cgrules.conf as libcgroup does", &[BASH, CGROUP_TOOLS], |world| {
        // In a mount namespace of its own, with an /etc of its own.
        let script = format!("{SHELL}{NAMES}\nRULES=$(cat <<'E'\n{}\nE\n)\n{FOLLOW}", RULES.join("\n"));
        let outcome = world.sh(&format!("unshare --mount --propagation private bash <<'ALL'\n{script}\nALL")).succeeds();
        outcome.stdout_is("99 99\n").stderr_is("");
        // The control: the rules differ from each other, and one of them moves nothing.
        let script = format!("{SHELL}{NAMES}\nRULES=\n{FOLLOW}\nmkdir -p $p/lr-a; echo '* pids lr-a' >/etc/cgrules.conf; cgexec grep -c :/lr-a /proc/self/cgroup
            echo '* pids lr-a ignore' >/etc/cgrules.conf; cgexec grep -c lr-a /proc/self/cgroup; clear_all");
        let outcome = world.sh(&format!("unshare --mount --propagation private bash <<'ALL'\n{script}\nALL"));
        outcome.stdout_is("99 99\n1\n0\n");
        // A name that leads out of its group.
        let script = format!("{SHELL}{NAMES}\nRULES=\n{FOLLOW}\necho '* pids lr-a/%p' >/etc/cgrules.conf; mkdir -p $p/lr-a
            cgexec ../../bin/true; echo $?; cgexec true; echo $?; ls $p/lr-a | grep true; clear_all");
        let outcome = world.sh(&format!("unshare --mount --propagation private bash <<'ALL'\n{script}\nALL"));
        outcome.stdout_is("99 99\n125\n0\ntrue\n").stderr_has("no path of a group");
    })
    .root_only()
    .host_only(),
    Row::new("cgexec-rs does by libcgroup's names what libcgroup 2.0 fails at", &[BASH], |world| {
        let script = format!(
            "{SHELL}{NAMES}
             p=$(point cgroup pids); m=$(point cgroup memory)
             cgcreate -g pids,memory:libcg-b/c && cgset -R -r pids.max=9 libcg-b && cat $p/libcg-b/pids.max $p/libcg-b/c/pids.max
             [ \"$(lssubsys -m pids)\" = \"pids $p\" ] && lssubsys -a | grep -c '^pids$\\|^memory$'; cgget -m
             cgset --copy-from libcg-none libcg-b; echo $?
             cgsnapshot -s pids | sed -n '/^group libcg-b {{/,/^}}/p'
             mkdir \"$p/libcg-b/x {{ }} group libcg-y\"; cgsnapshot pids 2>&1 | grep -c 'group libcg-y\\|is left out: its name'; cgsnapshot -s pids | grep -c libcg-y
             rmdir \"$p/libcg-b/x {{ }} group libcg-y\"
             cgcreate -g cpuset:libcg-c/d && cgexec -g cpuset:libcg-c/d grep -c cpuset:.*/libcg-c/d /proc/self/cgroup; cgdelete -r cpuset:libcg-c
             cgcreate -g pids:libcg-x -g nosuch:libcg-x; echo $? $(ls -d $p/libcg-x 2>/dev/null)
             cgset -r nodot=1 libcg-b; echo $?; cgcreate -a nosuchuser:bin -g pids:libcg-x; echo $?; cgget -g pids libcg-none; echo $?
             cgxget -2 -r memory.max libcg-b; cgxset -2 -r cpu.weight=200 -i libcg-none; echo $?
             cgdelete -r pids,memory:libcg-b; echo $? $(ls -d $p/libcg-b $m/libcg-b 2>/dev/null)"
        );
        world.sh(&script).stdout_is(
            "9\n9\n2\nHybrid mode (Cgroup v1/v2).\n82\ngroup libcg-b {\n\tpids {\n\t\tpids.max=\"9\";\n\t}\n}\n1\n0\n1\n84\n129\n91\n82\n\
             libcg-b:\nmemory.max: max\n\n82\n0\n",
        );
    })
    .root_only()
    .host_only(),
    Row::new("libcgroup's names work on cgroup v2, in the notation of either version", &[BASH], |world| {
        let script = format!(
            "{SHELL}{NAMES}
             v2=$(point cgroup2)
             cgcreate -g memory,cpu:/libcg/inner && tr ' ' '\\n' <$v2/libcg/cgroup.subtree_control | grep -c 'cpu$\\|memory'
             cgset -r memory.max=64M libcg/inner && cgget -n -r memory.max libcg/inner
             cgxget -1 -n -r memory.limit_in_bytes -r cpu.shares libcg/inner
             cgxset -1 -r cpu.cfs_quota_us=20000 libcg/inner && cat $v2/libcg/inner/cpu.max
             cgxget -1 -r memory.swappiness libcg/inner; echo $?; cgxget -1 -i -n -r memory.swappiness libcg/inner; echo $?
             cgexec -g memory:libcg/inner sed 's,.*/libcg,/libcg,' /proc/self/cgroup
             sleep 86442 & pid=$!; cgclassify -g :libcg/inner $pid; grep -c $pid $v2/libcg/inner/cgroup.procs
             cgdelete :libcg/inner; echo $?; kill $pid; wait $pid 2>/dev/null; cgdelete -r memory:libcg; echo $? $(ls -d $v2/libcg 2>/dev/null)"
        );
        world.sh(&script).stdout_is(
            "2\nmemory.max: 67108864\nmemory.limit_in_bytes: 67108864\ncpu.shares: 1024\n20000 100000\n111\n0\n\
             /libcg/inner\n1\n96\n0\n",
        );
    })
    .root_only()
    .vm_only(),
];
