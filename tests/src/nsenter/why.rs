//! `nsenter-rs --why`: how a process ended, and which limit or filter acted. Each row also asks about a process to which
//! that did not happen.

use crate::harness::need::{JQ, Need, PERL, UNSHARE};
use crate::harness::row::Row;
use crate::nsenter::options::run;

/// `unasked CODE` runs Perl code in a child, which ends, and whose parent does not ask how: `$Z`.
const UNASKED: &str = r#"
unasked() {
    perl -e '$| = 1; $p = fork; unless ($p) { eval shift; exit 0 } print "$p\n"; sleep 86470' "$1" >zombie & PARENT=$!
    trap 'kill -KILL $PARENT' EXIT
    for i in $(seq 500); do Z=$(cat zombie); [ "$Z" ] && grep -qs '^State:.Z' /proc/$Z/status && break; sleep 0.01; done
}
"#;

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("--why says how a process ended while its parent has not asked, and that it runs before", &[PERL, JQ], |world| {
        let directory = world.directory("why-ended");
        for (code, text, value) in [
            ("exit 7", "exit status 7", r#"{"status":7}"#),
            ("exit 0", "exit status 0", r#"{"status":0}"#),
            ("kill 9, $$", "signal 9 SIGKILL, no core dumped", r#"{"signal":9,"core_dumped":false}"#),
        ] {
            let line = format!(
                "cd {}; {UNASKED}unasked '{code}'; nsenter-rs --why $Z >page; grep -cF '{text} [/proc/' page; grep -c 'has ended; its parent' page; \
                 nsenter-rs --why $Z --json | jq -c .facts.end.value; nsenter-rs --why $PARENT | grep -c 'perl runs: S'; kill -KILL $PARENT; wait $PARENT 2>/dev/null; trap - EXIT",
                directory.display()
            );
            run(world, &line).stdout_is(&format!("1\n1\n{value}\n1\n"));
        }
        run(world, "nsenter-rs --why 4194303").fails_with(125).stderr_has("cannot open process 4194303: pidfd_open(4194303): ESRCH");
    })
    .host_only(),
    Row::new("each line of --why names its source and is at most 80 columns wide, and JSON has the same facts", &[JQ], |world| {
        let line = r#"sleep 86471 & P=$!; asleep $P; trap 'kill $P' EXIT; nsenter-rs --why $P >page; awk 'length > 80' page
            tr '\n' ' ' <page | grep -o '\[[^]]*\]' | wc -l >sources; nsenter-rs --why $P --json >json
            jq -r '.facts | to_entries | map(.value.source) | length' json | cmp - sources && echo same
            jq -r '.facts | keys_unsorted[]' json | tr _ ' ' | while read -r label; do grep -q "^$label  " page || echo $label; done
            jq -r '.facts[] | select((has("text") and has("value")) == has("unreadable"))' json"#;
        let directory = world.directory("why-sources");
        run(world, &format!("cd {}; {line}", directory.display())).stdout_is("same\n").stderr_is("");
    })
    .host_only(),
    Row::new("--why names the limit that killed or refused, as cgexec-rs --why does, and none elsewhere", &[PERL], |world| {
        let directory = world.directory("why-limits");
        let verdict = "verdict() { nsenter-rs --why $1 >page; cgexec-rs --why $1 | sed -n 's/^so far: //p' >own; sed -n '/^limits/,/\\[/p' page | tr -s '\\n ' ' ' | grep -qF \"$(tr -s ' ' <own)\" && echo agreed; }; ";
        let begin = "begin() { for i in $(seq 1000); do [ -e ready ] && break; sleep 0.01; done; rm ready; }; ";
        let memory = "cgexec-rs --memory 20M --name why-oom -- sh -c 'head -c 60M /dev/zero | tail >/dev/null; touch ready; exec sleep 86472' & C=$!; begin; \
            P=$(child $C); [ \"$P\" ] || P=$C; verdict $P; grep -c 'killed: memory.max 20M of ' own; grep '^OOM kills' page | grep -c ' 1 '; kill $C; wait $C; ";
        let forks = "cgexec-rs --pids 4 --name why-pids -- perl -e '$SIG{TERM} = sub { kill 9, @p; exit }; for (1 .. 6) { $p = fork; last unless defined $p; unless ($p) { sleep 86473 } push @p, $p } open F, \">ready\"; close F; sleep 86473' & C=$!; begin; \
            P=$(child $C); [ \"$P\" ] || P=$C; verdict $P; grep -c 'refused: pids.max 4 of ' own; grep -c '^processes .*at most 4' page; kill $C; wait $C; ";
        let other = "sleep 86474 & P=$!; asleep $P; nsenter-rs --why $P >page; grep -c 'killed: memory.max 20M\\|pids.max 4 ' page; kill $P";
        run(world, &format!("cd {}; {verdict}{begin}({memory}) 2>/dev/null; ({forks}) 2>/dev/null; {other}", directory.display()))
            .stdout_is("agreed\n1\n1\nagreed\n1\n1\n0\n");
    })
    .root_only()
    .host_only(),
    Row::new("--why names the call for which a filter killed, and does not say \"none\" where it may not read the log", &[PERL, Need::UserNamespaces], |world| {
        let directory = world.directory("why-refused");
        // The kernel limits how many lines it logs, so it is tried until one is there.
        let profile = r#"echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_KILL_PROCESS"}]}' >profile; "#;
        let line = "cp $(command -v hostname) wr$$; for i in $(seq 30); do unasked 'exec \"chroot-rs\", \"--keep-root\", \"--seccomp\", \"profile\", \"--\", \"./wr'$$'\", \"x\"'; \
            nsenter-rs --why $Z >page; kill -KILL $PARENT; wait $PARENT 2>/dev/null; trap - EXIT; grep -q 'refused calls   sethostname\\|refused calls   not readable' page && break; sleep 0.3; done; \
            grep -c 'signal 31 SIGSYS' page; dmesg >/dev/null 2>&1 && grep -c 'refused calls   sethostname (killed the process) \\[/dev/kmsg\\]' page || grep -c 'refused calls   not readable: E' page; \
            sleep 86475 & P=$!; asleep $P; nsenter-rs --why $P | grep -c sethostname; kill $P";
        run(world, &format!("cd {}; {UNASKED}{profile}{line}", directory.display())).stdout_is("1\n1\n0\n");
    })
    .host_only(),
    Row::new("--why reads enriched records of auditd, and says so if it cannot read auditd's log", &[UNSHARE, Need::UserNamespaces], |world| {
        let record = r#"type=SECCOMP msg=audit(1.1:2): auid=1 uid=0 gid=0 ses=1 pid=%d comm="sleep" exe="/x" sig=0 arch=c000003e syscall=170 compat=0 ip=0x7f code=0x50001"#;
        let directory = world.directory("why-auditd");
        std::fs::write(directory.join("record"), format!("{record}\\n")).unwrap();
        std::fs::write(directory.join("enriched"), format!("{record}\\035ARCH=x86_64 SYSCALL=sethostname AUID=\"root\"\\n")).unwrap();
        let inner = r#"mount -t tmpfs none /var/log; mkdir /var/log/audit; log=/var/log/audit/audit.log; sleep 86476 & P=$!
            for it in record enriched; do printf "$(cat $it)" $P >$log; nsenter-rs --why $P | grep -c "^refused calls   sethostname (failed)"; done
            rm $log; mkdir $log; nsenter-rs --why $P | grep -c "^refused calls   not readable: EISDIR"; kill $P"#;
        run(world, &format!("cd {}; unshare $OWN -m sh -c '{inner}'", directory.display())).stdout_is("1\n1\n1\n");
    })
    .host_only(),
];
