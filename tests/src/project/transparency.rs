//! A tool that has nothing to do changes nothing that the next program can see. The next program is a `sleep`, looked
//! at from outside through /proc: so nothing of its own start-up changes what it was given.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use crate::harness::children;
use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::stat::Stat;
use crate::harness::world::World;

const SLEEP: [&str; 3] = ["busybox", "sleep", "86415"];

/// Every tool with nothing to do; netns-rs, which always has something, with a network namespace and no more.
const ANYONE: &[&str] = &[
    "unshare-rs --",
    "unshare-rs",
    "nsenter-rs --",
    "cgexec-rs --",
    "unshare-rs --explain --",
    "cgexec-rs -- unshare-rs -- nsenter-rs --",
];
const ROOT: &[&str] = &[
    "chroot-rs --skip-chdir /",
    "netns-rs exec --new --",
    "unshare-rs -- nsenter-rs -- cgexec-rs -- netns-rs exec --new -- chroot-rs --skip-chdir /",
    "chroot-rs --skip-chdir / netns-rs exec --new -- cgexec-rs -- nsenter-rs -- unshare-rs --",
];

/// What a caller may hand on. `$HAND_ON` is this program, which does what a shell cannot.
const SITUATIONS: &[(&str, &str)] = &[
    ("all at their defaults", "exec"),
    ("SIGPIPE ignored", "trap '' PIPE; exec"),
    ("SIGCHLD ignored", "trap '' CHLD; exec"),
    ("the terminal's signals and SIGTERM ignored", "trap '' HUP INT QUIT TERM TSTP TTIN TTOU; exec"),
    ("signals blocked, SIGPIPE ignored, less urgent, an odd environment", "exec $HAND_ON"),
    ("stdin closed", "exec <&-; exec"),
    ("stdout closed", "exec >&-; exec"),
    ("stderr closed", "exec 2>&-; exec"),
    ("all three closed", "exec <&- >&- 2>&-; exec"),
    ("all three closed and 3 open", "exec 3>>three <&- >&- 2>&-; exec"),
    ("descriptors 3 and 7 open, stdin read to some place", "exec 3<>three 7>>seven </etc/passwd; read -r line; exec"),
    (
        "many descriptors",
        "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 8</dev/zero 9</dev/full 40<. 200</; exec",
    ),
    ("limits and mask", "ulimit -S -n 77; ulimit -c 0; ulimit -S -s 4096; umask 027; exec"),
    ("a score for the memory killer", "echo 77 >/proc/self/oom_score_adj; exec"),
    ("an odd environment", "export NOT_TEXT=$'\\xff\\xfe' EMPTY= LINES=$'a\\nb' PATH=$PATH:; unset HOME PWD; exec"),
    ("another directory", "cd /usr; exec"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a tool with nothing to do changes nothing that the next program sees", &[BUSYBOX], |world| {
        let forms = ANYONE.iter().chain(if world.is_root { ROOT } else { &[] });
        compare_all(world, "", &forms.copied().collect::<Vec<_>>());
    }),
    Row::new(
        "all five tools in a user namespace change nothing that the next program sees",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            compare_all(world, "unshare-rs --map-root-user -- ", &ROOT[2..]);
        },
    ),
    Row::new("chroot-rs to / changes no more than the working directory", &[BUSYBOX], |world| {
        let direct = picture(world, "cd /; unset PWD OLDPWD; exec", "");
        let through = picture(world, "cd /usr; unset PWD OLDPWD; exec", "chroot-rs /");
        assert_same(&direct, &through, "chroot-rs /");
    })
    .root_only(),
    Row::new("what /proc does not show is handed on as well", &[], |world| {
        let forms = ANYONE.iter().chain(if world.is_root { ROOT } else { &[] });
        let direct = world.sh(&format!("{} --show-inherited", suite())).succeeds();
        for form in forms {
            let through = world.sh(&format!("{form} {} --show-inherited", suite())).succeeds();
            assert_eq!(through.stdout, direct.stdout, "{form}");
        }
    }),
    Row::new("arguments reach the command byte for byte", &[BUSYBOX], |world| {
        let words = "'' $'\\xff\\xfe' 'a b' $'line\\nbreak' -- --help '*' -x '' $'\\x01'";
        let show =
            |form: &str| world.sh(&format!("{form} busybox printf '[%s]' {words} | od -An -v -tx1")).succeeds().stdout;
        let direct = show("");
        assert!(direct.contains("ff fe"), "{direct}");
        for form in ANYONE.iter().chain(if world.is_root { ROOT } else { &[] }) {
            assert_eq!(show(form), direct, "{form}");
        }
    }),
    Row::new("a fork keeps all of it but the parent", &[BUSYBOX], |world| {
        for (name, begin) in SITUATIONS {
            let direct = picture(world, begin, "");
            let mut through = picture_of_child(world, begin, "unshare-rs --fork --");
            for (key, value) in direct.iter().filter(|(key, _)| key.as_str() == "parent" || key.as_str() == "group") {
                through.insert(key.clone(), value.clone());
            }
            assert_same(&direct, &through, &format!("unshare-rs --fork, with {name}"));
        }
    }),
];

/// The hidden mode `--show-inherited`: what a process inherits and /proc does not show.
pub fn show_inherited() -> ExitCode {
    println!("securebits {:?}", rustix::thread::capabilities_secure_bits());
    println!("death signal {:?}", rustix::process::parent_process_death_signal());
    println!("subreaper {:?}", nix::sys::prctl::get_child_subreaper());
    println!("dumpable {:?}", nix::sys::prctl::get_dumpable());
    ExitCode::SUCCESS
}

/// The hidden mode `--hand-on`: becomes a command with signals blocked, a niceness and an environment that no shell would make.
pub fn hand_on(command: &[OsString]) -> ExitCode {
    let blocked = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGPIPE]);
    blocked.thread_block().expect("sigprocmask");
    rustix::process::nice(7).expect("nice");
    let odd =
        [&b"NOT_TEXT=\xff\xfe"[..], b"EMPTY=", b"NO_EQUALS_SIGN", b"=BEGINS=WITH ONE", b"TWICE=1", b"TWICE=2", b""];
    let mut environment: Vec<_> = odd.iter().map(|entry| CString::new(*entry).expect("no NUL")).collect();
    for (name, value) in std::env::vars_os() {
        let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
        environment.push(CString::new(entry).expect("no NUL"));
    }
    let argv: Vec<_> = command.iter().map(|word| CString::new(word.clone().into_vec()).expect("no NUL")).collect();
    // Not by the standard library, which would give SIGPIPE its default and unblock everything.
    let error = nix::unistd::execvpe(&argv[0], &argv, &environment);
    eprintln!("suite: {}: {error:?}", command[0].display());
    ExitCode::FAILURE
}

fn suite() -> String {
    std::env::current_exe().expect("/proc/self/exe").display().to_string()
}

fn compare_all(world: &World, before: &str, forms: &[&str]) {
    for (name, begin) in SITUATIONS {
        let direct = picture(world, begin, before);
        // On emulated processors only the last one, a chain of all that this user may use.
        for form in if world.in_vm { &forms[forms.len() - 1..] } else { forms } {
            let through = picture(world, begin, &format!("{before}{form}"));
            assert_same(&direct, &through, &format!("{form}, with {name}"));
        }
    }
}

#[track_caller]
fn assert_same(direct: &BTreeMap<String, String>, through: &BTreeMap<String, String>, what: &str) {
    let mut differences = Vec::new();
    for key in direct.keys().chain(through.keys().filter(|key| !direct.contains_key(*key))) {
        let (direct, through) = (direct.get(key), through.get(key));
        // A namespace that was asked for.
        let is_asked = key == "namespace net" && what.contains("netns-rs");
        if direct != through && !is_asked {
            differences.push(format!("{key}: directly {direct:?}, through the tool {through:?}"));
        }
    }
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

/// What a `sleep` has that was begun like this through this form.
fn picture(world: &World, begin: &str, form: &str) -> BTreeMap<String, String> {
    look_at(world, begin, form, |shell| Some(shell.to_string()).filter(|pid| is_sleep(pid)))
}

fn picture_of_child(world: &World, begin: &str, form: &str) -> BTreeMap<String, String> {
    look_at(world, begin, form, |shell| {
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
        children.split_whitespace().next().filter(|pid| is_sleep(pid)).map(str::to_owned)
    })
}

fn look_at(world: &World, begin: &str, form: &str, find: impl Fn(i32) -> Option<String>) -> BTreeMap<String, String> {
    let script = format!("{begin} {form} {}", SLEEP.join(" "));
    let running = world.script(&script).variable("HAND_ON", format!("{} --hand-on", suite())).start();
    let deadline = Instant::now() + world.limit();
    loop {
        if let Some(pid) = find(running.pid.as_raw()) {
            return describe(&pid, running.pid.as_raw());
        }
        assert!(
            Instant::now() < deadline && children::ended(running.pid).is_none(),
            "no sleep came of: {script}\n{:?}",
            fs::read_to_string(format!("/proc/{}/status", running.pid))
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Its arguments show only when execve(2) is done with it: then its descriptors are the final ones, too.
fn is_sleep(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == format!("{}\0", SLEEP.join("\0")).as_bytes())
}

/// Members of /proc/PID/status that each process has for itself.
const OWN_MEMBERS: &[&str] = &[
    "Vm",
    "Rss",
    "Hugetlb",
    "voluntary",
    "nonvoluntary",
    "SigQ",
    "SigPnd",
    "ShdPnd",
    "State",
    "Tgid",
    "Ngid",
    "Pid",
    "PPid",
    "NS",
    "FDSize",
    "Cpus",
    "Mems",
];
const NAMESPACES: [&str; 10] =
    ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];

fn describe(pid: &str, leader: i32) -> BTreeMap<String, String> {
    let process = Path::new("/proc").join(pid);
    let mut seen = BTreeMap::new();
    for line in read(&process, "status").lines() {
        let (name, value) = line.split_once(":\t").unwrap_or((line, ""));
        if !OWN_MEMBERS.iter().any(|prefix| name.starts_with(prefix)) {
            let value = if name.starts_with("Sig") { without_libc_signals(value) } else { value.to_owned() };
            seen.insert(format!("status {name}"), value);
        }
    }
    describe_stat(&read(&process, "stat"), leader, &mut seen);
    for file in ["limits", "environ", "oom_score_adj", "personality", "coredump_filter", "cgroup", "comm"] {
        seen.insert(file.to_owned(), read(&process, file));
    }
    for path in ["cwd", "root", "exe"] {
        seen.insert(path.to_owned(), link(&process, path));
    }
    for kind in NAMESPACES {
        let mut inode = link(&process, &format!("ns/{kind}"));
        // The user namespace in front is another one in each run; that it is none of ours is all there is to compare.
        if fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|own| own.display().to_string() != inode) {
            inode = "another".to_owned();
        }
        seen.insert(format!("namespace {kind}"), inode);
    }
    describe_descriptors(&process, &mut seen);
    seen
}

fn describe_stat(stat: &str, leader: i32, seen: &mut BTreeMap<String, String>) {
    let stat = Stat::parse(stat).unwrap_or_default();
    let field = |number: usize| stat.field(number).to_owned();
    let own =
        |number: usize| if field(number) == leader.to_string() { "the script's".to_owned() } else { field(number) };
    seen.insert("parent".to_owned(), own(4));
    seen.insert("group".to_owned(), own(5));
    for (name, number) in [
        ("session", 6),
        ("terminal", 7),
        ("priority", 18),
        ("niceness", 19),
        ("exit signal", 38),
        ("real-time priority", 40),
        ("policy", 41),
    ] {
        seen.insert(name.to_owned(), field(number));
    }
}

fn describe_descriptors(process: &Path, seen: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(process.join("fd")).expect("readdir(fd)").flatten() {
        let number = entry.file_name().to_string_lossy().into_owned();
        let target = link(process, &format!("fd/{number}"));
        let target = if target.starts_with("pipe:[") { "pipe".to_owned() } else { target };
        let info = read(process, &format!("fdinfo/{number}"));
        let place: Vec<_> = info.lines().take_while(|line| !line.starts_with("mnt_id")).collect();
        seen.insert(format!("descriptor {number}"), format!("{target} {}", place.join(" ")));
    }
}

fn read(process: &Path, file: &str) -> String {
    let bytes = fs::read(process.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", process.display()));
    bytes.escape_ascii().to_string().replace("\\n", "\n").replace("\\t", "\t")
}

fn link(process: &Path, path: &str) -> String {
    fs::read_link(process.join(path)).map_or_else(|error| error.to_string(), |to| to.display().to_string())
}

/// 32 and 33 are the C library's own, and the parent leaves them as it happens to use them: glibc ignores them in a child of posix_spawn(3) unless its parent has threads.
fn without_libc_signals(set: &str) -> String {
    let bits = u64::from_str_radix(set.trim(), 16).unwrap_or_else(|error| panic!("{set}: {error}"));
    format!("{:016x}", bits & !(0b11 << 31))
}
