//! Parsing is pure and total: whatever the words, a usage error ends with 125 and at most two lines that name what is
//! wrong, and until then nothing has been done.

use std::time::Duration;

use crate::harness::narration::{TOOLS, changes};
use crate::harness::need::STRACE;
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::trace::{self, place};
use crate::project::explain::script;

/// Wrong words, what the error names, and what it says would be right.
type Wrong = (&'static str, &'static str, &'static str);

const WRONG: &[Wrong] = &[
    ("unshare-rs --moun true", "'--moun'", "'--mount'"),
    ("unshare-rs -Z true", "'-Z'", "--help"),
    ("unshare-rs --propagation upwards --mount true", "'upwards'", "private, slave, shared, unchanged"),
    ("unshare-rs --kill-child=NONE true", "'NONE'", "SIGTERM"),
    ("unshare-rs --kill-child= true", "--kill-child", "SIGTERM"),
    ("unshare-rs --ttl soon --hold", "'soon'", "250ms"),
    ("unshare-rs --ttl -1 --hold", "'-1'", "--help"),
    ("unshare-rs --ttl 5", "--hold", "--help"),
    ("unshare-rs --name x true", "--hold", "--help"),
    ("unshare-rs --hold true", "--hold", "COMMAND"),
    ("unshare-rs --hold --fork", "--hold", "--fork"),
    ("unshare-rs --hostname x true", "--hostname", "--uts"),
    ("unshare-rs --setgroups allow -r true", "--setgroups=allow", "--map-root-user"),
    ("unshare-rs --hostname", "--hostname", "NAME"),
    ("unshare-rs --mount= true", "--mount", "FILE"),
    ("unshare-rs --ttl $'\\xff' --hold", "--ttl", "UTF-8"),
    ("unshare-rs --ttl 5 true", "--ttl", "--hold"),
    ("unshare-rs $'--\\xff'", "--", "--help"),
    ("nsenter-rs --targt 1 true", "'--targt'", "'--target'"),
    ("nsenter-rs --target 1 true", "--target", "--all"),
    ("nsenter-rs --target rkt:web --all true", "'rkt'", "docker"),
    ("nsenter-rs --target docker: --all true", "'docker:'", "name"),
    ("nsenter-rs --target docker@me:web --all true", "'me'", "UID"),
    ("nsenter-rs --target docker:web --type lxc --all true", "docker:web", "--type lxc"),
    ("nsenter-rs --target 4242 --type lxc --all true", "--type", "4242"),
    ("nsenter-rs --type docker true", "--type", "--target"),
    ("nsenter-rs --find web --json --type rkt", "'rkt'", "docker"),
    ("nsenter-rs --list --containers --type rkt", "'rkt'", "docker"),
    ("nsenter-rs --list --containers --type netns", "'netns'", "--target"),
    ("nsenter-rs --list --containers true", "'true'", "--help"),
    ("nsenter-rs --target 0 --all true", "'0'", "4242"),
    ("nsenter-rs --target 99999999999 --all true", "'99999999999'", "4242"),
    ("nsenter-rs --all true", "--target", "--help"),
    ("nsenter-rs --mount true", "--target", "--help"),
    ("nsenter-rs -t 1 -t 2 -n true", "'--target'", "once"),
    ("nsenter-rs -t 4242:x -n true", "'4242:x'", "4242:7711"),
    ("nsenter-rs --wd true", "--wd", "--target"),
    ("nsenter-rs -w/ -W/ true", "--wd", "--wdns"),
    ("nsenter-rs -S me true", "'me'", "follow"),
    ("nsenter-rs -S follow true", "'follow'", "--target"),
    ("nsenter-rs --user-parent true", "--user-parent", "--net"),
    ("nsenter-rs --env true", "--target", "--help"),
    ("nsenter-rs -t 1 -n -N 3 true", "--net", "--net-socket"),
    ("nsenter-rs --pipe -F true", "--pipe", "--no-fork"),
    ("nsenter-rs --rm true", "--pipe", "--help"),
    ("nsenter-rs --keep-on-error true", "--pipe", "--help"),
    ("nsenter-rs --pipe --target 1 --all", "--pipe", "--target"),
    ("nsenter-rs --pipe --stdin 0 true", "--stdin", "0"),
    ("nsenter-rs --pipe --stdin x true", "'x'", "--stdin"),
    ("nsenter-rs --preserve-fds -3 true", "-3", "--help"),
    ("nsenter-rs --preserve-fds 99999 true", "99999", "1024"),
    ("nsenter-rs --find web", "--json", "--help"),
    ("nsenter-rs -n --list", "--list", "must be the first option"),
    ("nsenter-rs --list -t foo", "'foo'", "cgroup, time"),
    ("nsenter-rs --list -o NS,FOO", "FOO", "NETNSID"),
    ("nsenter-rs --list -Q 'NS = 5'", "--filter", "unexpected character"),
    ("nsenter-rs --list -T up", "'up'", "--help"),
    ("nsenter-rs --list -Tup", "'up'", "process, parent, owner"),
    ("nsenter-rs --find web --json true", "--find", "COMMAND"),
    ("cgexec-rs --memry 1M true", "'--memry'", "'--memory'"),
    ("cgexec-rs --memory lots true", "'lots'", "256M"),
    ("cgexec-rs --memory -5 true", "-5", "--help"),
    ("cgexec-rs --memory 99999999999999999999T true", "'99999999999999999999T'", "--memory"),
    ("cgexec-rs --pids 1.5 true", "'1.5'", "--pids"),
    ("cgexec-rs --cpus 0 true", "'0'", "--cpus"),
    ("cgexec-rs --cpus many true", "'many'", "50%"),
    ("cgexec-rs --name x true", "--name", "--memory"),
    ("cgexec-rs --memory 1M --name a/b true", "'a/b'", "without /"),
    ("cgexec-rs -g memory true", "memory", "CONTROLLERS:PATH"),
    ("cgexec-rs -g memory:/x --pids 3 true", "-g", "--pids"),
    ("cgexec-rs --show web 4242", "'4242'", "one at a time"),
    ("cgexec-rs --json true", "--json", "--show"),
    ("cgexec-rs --keep-on-error true", "--pipe", "--keep-on-error"),
    ("cgexec-rs --pipe --memory 1M true", "--pipe", "COMMAND"),
    ("cgexec-rs --memory 1M", "command", "--help"),
    ("cgexec-rs", "command", "--help"),
    ("netns-rs nonsense", "'nonsense'", "--help"),
    ("netns-rs exec", "--new", "--help"),
    ("netns-rs exec --new", "command", "--help"),
    ("netns-rs exec name", "command", "--help"),
    ("netns-rs exec a/b true", "a/b", "name"),
    ("netns-rs exec --bridge b0 --address 10.0.0.2/24 name true", "--bridge", "--new"),
    ("netns-rs exec --new --bridge way-too-long-a-name true", "'way-too-long-a-name'", "15"),
    ("netns-rs exec --new --bridge a/b true", "'a/b'", "--bridge"),
    ("netns-rs exec --new --address 10.0.0.2/24 true", "--bridge", "--help"),
    ("netns-rs exec --new --bridge b0 --address 10.0.0.2 true", "'10.0.0.2'", "/24"),
    ("netns-rs exec --new --bridge b0 --address 10.0.0.2/33 true", "'10.0.0.2/33'", "32"),
    ("netns-rs exec --new --bridge b0 --address 10.0.0.256/24 true", "'10.0.0.256/24'", "/24"),
    ("netns-rs exec --new --bridge b0 --address 10.0.0.2/24 --gateway x true", "'x'", "--gateway"),
    ("netns-rs connect --pipe", "--bridge", "--help"),
    ("netns-rs connect --bridge b0", "--address", "--help"),
    ("netns-rs add", "NAME", "--help"),
    ("netns-rs add a/b", "'a/b'", "without /"),
    ("netns-rs add ..", "'..'", "other than"),
    ("netns-rs delete", "NAME", "--help"),
    ("netns-rs show --pipe --json", "--pipe", "--json"),
    ("chroot-rs", "root", "--help"),
    ("chroot-rs --stdd / true", "'--stdd'", "'--std'"),
    ("chroot-rs --host-root true", "--std", "--help"),
    ("chroot-rs --pipe /", "--std", "--help"),
    ("chroot-rs --std --pipe / true", "--pipe", "command"),
    ("chroot-rs --keep-on-error / true", "--pipe", "--help"),
    ("chroot-rs --capabilities fly / true", "'fly'", "NET_RAW"),
    ("chroot-rs --group 1,2 / true", "\"1,2\"", "--groups"),
    ("chroot-rs --group= / true", "--group", "number"),
    ("chroot-rs --user a:b --group c / true", "--group", "--userspec a:c"),
    ("chroot-rs --rlimit nofile / true", "'nofile'", "nofile=1024:4096"),
    ("chroot-rs --rlimit nofile=2:1 / true", "'nofile=2:1'", "soft"),
    ("chroot-rs --umask 9 / true", "'9'", "octal"),
    ("chroot-rs --setenv A / true", "'A'", "NAME=VALUE"),
    ("chroot-rs --securebits root / true", "'root'", "noroot"),
    ("chroot-rs --std --no-new-privs --allow-new-privs / true", "--no-new-privs", "--allow-new-privs"),
    ("chroot-rs --std --clear-env --keep-env / true", "--clear-env", "--keep-env"),
    ("chroot-rs --preserve-fds 3 / true", "--std", "--help"),
    ("chroot-rs --std --preserve-fds x / true", "'x'", "--preserve-fds"),
    ("chroot-rs --std --skip-chdir / true", "--std", "--skip-chdir"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a wrong option or value is named, with what would be right, and nothing has been done", &[], |world| {
        let before = Scan::take();
        let mut wrong = Vec::new();
        for (line, named, valid) in WRONG {
            let outcome = world.sh(line);
            let lines: Vec<_> = outcome.stderr.lines().collect();
            let tool = line.split(' ').next().unwrap_or_default();
            let is_told =
                lines.first().is_some_and(|line| line.starts_with(&format!("{tool}: ")) && line.contains(named));
            let has_remedy = lines.len() == 2 && lines[1].starts_with(&format!("{tool}: remedy: "));
            let is_good = outcome.status == 125
                && outcome.stdout.is_empty()
                && is_told
                && has_remedy
                && outcome.stderr.contains(valid);
            if !is_good {
                wrong.push(format!("expected {named} and {valid}\n{outcome}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), WRONG.len(), wrong.join("\n"));
        before.wait_until_same(Duration::from_secs(10));
    }),
    Row::new("until the words are understood, no call changes anything", &[STRACE], |world| {
        let prefix = place(world, "parsing");
        let questions =
            TOOLS.iter().flat_map(|tool| ["--help", "--version"].map(|option| format!("{tool} {option} >/dev/null")));
        // On emulated processors a sample of them.
        let step = if world.in_vm { 9 } else { 1 };
        for line in WRONG.iter().map(|(line, ..)| (*line).to_owned()).chain(questions).step_by(step) {
            let outcome = script(world, &format!("$TRACE {line}"), &prefix).run();
            let processes = trace::read(&prefix);
            assert!(processes.len() == 1, "{} processes\n{outcome}", processes.len());
            let made = changes(&processes);
            assert!(made.is_empty(), "{made:#?}\n{outcome}");
        }
    }),
    Row::new("what is the command's is left to the command", &[], |world| {
        for form in ["unshare-rs", "unshare-rs --", "nsenter-rs", "nsenter-rs --", "cgexec-rs", "cgexec-rs --"] {
            for words in ["--mount --no-such-option -- x", "-- --", "'' -x --help", "--version"] {
                let direct = world.sh(&format!("sh -c 'printf \"[%s]\" \"$0\" \"$@\"' {words}")).succeeds();
                world
                    .sh(&format!("{form} sh -c 'printf \"[%s]\" \"$0\" \"$@\"' {words}"))
                    .succeeds()
                    .stdout_is(&direct.stdout);
            }
        }
    }),
];
