//! The exit status means the same in all five tools, however many of them stand in front of the command: the command's
//! own, 128+N when signal N ended it, 127 not found, 126 not runnable, 125 our own failure.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::harness::need::{BUSYBOX, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;
use crate::harness::script::Outcome;
use crate::harness::world::World;
use crate::project::explain::script;

/// A way to run a command.
struct Form {
    /// The words in front of the command. `$OWN` as in `explain`; with `HELD`, `<record` names a held container.
    words: &'static str,
    /// Only root may do this.
    for_root: bool,
    /// The command is the first process of a pid namespace, which its own signals do not reach.
    is_first: bool,
}

const fn form(words: &'static str) -> Form {
    Form { words, for_root: false, is_first: false }
}

const fn root(words: &'static str) -> Form {
    Form { words, for_root: true, is_first: false }
}

/// In all of these, the files of the machine are there.
const FORMS: &[Form] = &[
    form("unshare-rs --"),
    form("nsenter-rs --"),
    form("cgexec-rs --"),
    root("netns-rs exec --new --"),
    root("chroot-rs /"),
    form("unshare-rs --fork --"),
    form("unshare-rs --explain --fork --"),
    form("unshare-rs $OWN --mount --uts --kill-child --"),
    Form { words: "unshare-rs $OWN --mount --pid --fork --mount-proc --", for_root: false, is_first: true },
    root("nsenter-rs --target $$ --uts --"),
    form("hold nsenter-rs --pipe --"),
    root("cgexec-rs --memory 64M --pids 50 --"),
    form("unshare-rs -- nsenter-rs -- cgexec-rs -- unshare-rs --fork --"),
    form("unshare-rs --map-root-user -- nsenter-rs -- cgexec-rs -- netns-rs exec --new -- chroot-rs /"),
    root("cgexec-rs --pids 50 -- netns-rs exec --new -- unshare-rs --mount --uts --fork -- nsenter-rs -- chroot-rs /"),
];

/// In these, the command sees another root.
const ROOTS: &[Form] = &[
    Form { words: "unshare-rs $OWN --mount --pid --fork -- chroot-rs --std $ROOT --", for_root: false, is_first: true },
    form("hold chroot nsenter-rs --pipe --"),
    root("chroot-rs $ROOT"),
];

const CODES: [i32; 9] = [0, 1, 2, 42, 125, 126, 127, 128, 255];
const SIGNALS: [(&str, i32); 6] = [("HUP", 1), ("KILL", 9), ("USR1", 10), ("SEGV", 11), ("PIPE", 13), ("TERM", 15)];

/// Each tool's own failures, with the text that says which.
const OURS: &[(&str, &str)] = &[
    ("unshare-rs --no-such-option true", "--no-such-option"),
    ("nsenter-rs --no-such-option true", "--no-such-option"),
    ("cgexec-rs --no-such-option true", "--no-such-option"),
    ("netns-rs exec --no-such-option true", "--no-such-option"),
    ("chroot-rs --no-such-option / true", "--no-such-option"),
    ("nsenter-rs --target 2147483647 --all -- true", "process 2147483647"),
    ("chroot-rs /no/such/root true", "/no/such/root"),
    ("netns-rs exec no-such-name true", "no-such-name"),
    ("cgexec-rs -g '*:/no/such/group' true", "/no/such/group"),
    ("cgexec-rs --", "command is missing"),
    ("nsenter-rs --pipe -- true", "record"),
    ("unshare-rs --mount-proc=/no/such/directory $OWN true", "/no/such/directory"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a command that is not found says which root and which PATH were searched, and where the name came from", &[BUSYBOX, Need::UserNamespaces], |world| {
        let own = world.as_root();
        let root = world.busybox_root().display().to_string();
        let root_of = |line: String| line.replace("$R", &root);
        let chain = format!("unshare-rs {own} --mount --pid --fork --");
        for (line, remedy) in [
            ("PATH=/a:/b $TOOLS/unshare-rs -- no-such".to_owned(), "it is in no directory of PATH in this root: /a:/b"),
            ("env -u PATH $TOOLS/unshare-rs -- no-such".to_owned(), "PATH is not set, and this root does not have it in /bin:/usr/bin"),
            ("ln -s gone no-such; PATH=/a:. $TOOLS/unshare-rs -- no-such; s=$?; rm no-such; exit $s".to_owned(), "./no-such is a link that leads to no file in this root"),
            ("netns-rs exec --new -- /no/such".to_owned(), "this root has no such file"),
            ("unshare-rs -- /no/such".to_owned(), "this root has no such file"),
            (format!("{chain} chroot-rs --std $R -- no-such"), "it is in no directory of PATH in the root $R: /usr/local/sbin:"),
            (format!("{chain} chroot-rs --std $R -- /no/such"), "the root $R has no such file"),
            (format!("unshare-rs {own} -- env PATH=/a $TOOLS/chroot-rs $R no-such"), "it is in no directory of PATH in the root $R: /a"),
            (format!("unshare-rs {own} -- env SHELL=/no/zsh chroot-rs /proc/self/fdinfo"), "it is the caller's $SHELL, and this root does not have /bin/sh either"),
            ("SHELL=/no/zsh unshare-rs".to_owned(), "it is the caller's $SHELL, which is not here; name a command"),
            (
                format!("unshare-rs --hold --ttl 60 {own} --mount --pid | chroot-rs --pipe --std $R | nsenter-rs --pipe --rm -- no-such"),
                "it is in no directory of PATH in the root of process ",
            ),
        ] {
            if line.starts_with("netns-rs") && !world.is_root {
                continue;
            }
            world.sh(&root_of(line)).fails_with(127).stderr_has(&format!("remedy: {}", root_of(remedy.to_owned())));
        }
        // The control: a shell that the root has is run although the caller's is missing there.
        let line = format!("echo 'echo ran' | unshare-rs {own} -- env SHELL=/no/zsh chroot-rs $R 2>/dev/null");
        world.sh(&root_of(line)).stdout_has("ran\n");
    })
    .host_only(),
    Row::new("the exit status is the command's own", &[BUSYBOX, Need::UserNamespaces], |world| {
        in_all(world, FORMS.iter().chain(ROOTS), |form| {
            let seen = statuses(world, form, CODES.iter().map(|code| format!("sh -c 'exit {code}'")));
            assert_eq!(seen, CODES, "{}", form.words);
        });
    }),
    Row::new(
        "the exit status is 128 and the number of the signal that ended the command",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            in_all(world, FORMS.iter().chain(ROOTS).filter(|form| !form.is_first), |form| {
                let seen =
                    statuses(world, form, SIGNALS.iter().map(|(name, _)| format!("sh -c 'kill -{name} $$; sleep 9'")));
                assert_eq!(seen, SIGNALS.map(|(_, number)| 128 + number), "{}", form.words);
            });
        },
    ),
    Row::new(
        "a command that is not there is distinguished from one that cannot be run",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            let commands = Commands::new(&world.directory("exit-status"));
            in_all(world, FORMS.iter(), |form| commands.tell_apart(world, form));
        },
    ),
    Row::new(
        "a command in a directory that may not be searched is not runnable, with and without --explain",
        &[],
        |world| {
            let closed = world.directory("closed");
            fs::write(closed.join("command"), "").expect("a file");
            fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("chmod");
            for form in
                ["unshare-rs --", "unshare-rs --explain --fork --", "nsenter-rs --explain --", "cgexec-rs --explain --"]
            {
                let path = closed.join("command");
                world.sh(&format!("{form} {}", path.display())).fails_with(126).stderr_has("EACCES");
                world
                    .sh(&format!("PATH=$PATH:{}; {form} command", closed.display()))
                    .fails_with(126)
                    .stderr_has("EACCES");
            }
            fs::set_permissions(&closed, Permissions::from_mode(0o755)).expect("chmod");
        },
    )
    .user_only(),
    Row::new(
        "a script without an interpreter is run by the shell, with its arguments",
        &[BUSYBOX, Need::UserNamespaces],
        |world| {
            let file = world.directory("plain-script").join("script");
            executable(&file, b"echo \"$0\"; for word; do printf '[%s]' \"$word\"; done; exit 7\n");
            in_all(world, FORMS.iter(), |form| {
                let seen = run(world, form, &format!("{{}} {} 'a b' '' '*'", file.display()));
                assert_eq!(seen.stdout, format!("{}\n[a b][][*]", file.display()), "{seen}");
                assert_eq!(seen.status, 7, "{seen}");
            });
        },
    ),
    Row::new("what fails in the tool itself ends with 125", &[], |world| {
        for (line, text) in OURS {
            let outcome = script(world, line, Path::new("unused")).run().fails_with(125).stdout_is("").stderr_has(text);
            assert!(outcome.stderr.lines().count() <= 2, "{outcome}");
        }
    }),
    Row::new("help that nobody can read is a failure of ours", &[], |world| {
        for tool in crate::harness::narration::TOOLS {
            world.sh(&format!("{tool} --help >/dev/full")).fails_with(125).stderr_has("ENOSPC");
            world.sh(&format!("{tool} --help >&-")).fails_with(125).stderr_has("EBADF");
            world.sh(&format!("{tool} --help >/dev/null")).succeeds();
        }
    }),
    Row::new("a caller that ignores SIGCHLD gets the status all the same", &[BUSYBOX, Need::UserNamespaces], |world| {
        in_all(world, FORMS.iter().chain(ROOTS), |form| {
            let seen = run(world, form, "trap '' CHLD; {} sh -c 'exit 42'");
            assert!(seen.status == 42, "{}: {seen}", form.words);
        });
    }),
];

/// Does something in all forms that this user may use, and waits for the guardians, who remove what was made.
fn in_all<'a>(world: &World, forms: impl Iterator<Item = &'a Form>, act: impl Fn(&Form)) {
    let before = Scan::take();
    // On emulated processors a sample of them.
    let step = if world.in_vm { 4 } else { 1 };
    forms.filter(|form| world.is_root || !form.for_root).step_by(step).for_each(act);
    let has_new = || before.difference(&Scan::take()).iter().any(|line| line.starts_with("new: process "));
    world.eventually(|| (!has_new()).then_some(())).expect("processes of a command that has ended are left");
}

/// How each of the commands ended, all run in this form by one shell.
fn statuses(world: &World, form: &Form, commands: impl Iterator<Item = String>) -> Vec<i32> {
    let lines: Vec<_> = commands.map(|command| format!("{{}} {command}; echo $?")).collect();
    let outcome = run(world, form, &format!("ulimit -c 0; {}", lines.join("\n"))).succeeds();
    outcome
        .lines()
        .iter()
        .map(|line| line.parse().unwrap_or_else(|_| panic!("a number, not {line:?}\n{outcome}")))
        .collect()
}

/// Runs a script in which `{}` is the form.
fn run(world: &World, form: &Form, text: &str) -> Outcome {
    let (words, stage, input) = match form.words.split_once("hold ") {
        Some(("", rest)) => (rest.replace("chroot ", ""), rest.contains("chroot "), " <record"),
        _ => (form.words.to_owned(), false, ""),
    };
    if input.is_empty() {
        return script(world, &text.replace("{}", &words), Path::new("unused")).run();
    }
    // In use, the container stays, whatever becomes of a command that is entered.
    let directory = world.directory(&format!("record-{}", unique()));
    let text = text.replace("{}", &format!("with_record {words}"));
    let root = if stage { "chroot-rs --pipe --std $ROOT" } else { "cat" };
    let prepared = format!(
        "cd {directory}; unshare-rs --hold --ttl 100 $OWN --mount --pid --uts | {root} | cat >record || exit 99
         trap 'nsenter-rs --pipe --rm -- true <{directory}/record' EXIT
         nsenter-rs --pipe -- true <record || exit 99
         with_record() {{ \"$@\" <{directory}/record; }}
         {text}",
        directory = directory.display()
    );
    script(world, &prepared, Path::new("unused")).run()
}

fn unique() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Files that cannot be run, each for another reason.
struct Commands {
    directory: PathBuf,
}

impl Commands {
    fn new(directory: &Path) -> Self {
        fs::write(directory.join("plain"), "echo unreachable\n").expect("a file");
        executable(&directory.join("no-interpreter"), b"#!/no/such/interpreter\n");
        executable(&directory.join("no-loader"), &elf_without_loader());
        symlink("/no/such/target", directory.join("dangling")).expect("a link");
        Self { directory: directory.to_owned() }
    }

    /// All of them in one script, with a line that begins with `=` before what each one said.
    fn tell_apart(&self, world: &World, form: &Form) {
        let directory = self.directory.display();
        let missing = "interpreter or dynamic loader is missing";
        let cases = [
            ("/no/such/command".to_owned(), 127, "ENOENT"),
            ("no-such-command".to_owned(), 127, "ENOENT"),
            ("''".to_owned(), 127, "ENOENT"),
            (format!("{directory}/plain/command"), 127, "ENOTDIR"),
            (format!("{directory}/dangling"), 127, "ENOENT"),
            (format!("{directory}/no-interpreter"), 127, missing),
            (format!("{directory}/no-loader"), 127, missing),
            (format!("{directory}/plain"), 126, "EACCES"),
            (directory.to_string(), 126, "EACCES"),
            ("/".to_owned(), 126, "EACCES"),
        ];
        let lines: Vec<_> = cases
            .iter()
            .map(|(command, ..)| format!("seen=$({{}} {command} 2>&1); echo \"=$?\"; echo \"$seen\""))
            .collect();
        // A directory in PATH that may not be searched would be the reason.
        let outcome = run(world, form, &format!("PATH=$TOOLS:/usr/bin:/bin\n{}", lines.join("\n"))).succeeds();
        let answers: Vec<_> = outcome.stdout.split_terminator("\n=").collect();
        assert!(answers.len() == cases.len(), "{}\n{outcome}", form.words);
        for ((command, status, text), answer) in cases.iter().zip(answers) {
            let (code, seen) = answer.trim_start_matches('=').split_once('\n').unwrap_or_default();
            let seen: Vec<_> =
                seen.lines().filter(|line| crate::harness::narration::narrated_call(line).is_none()).collect();
            let is_right = code == status.to_string() && seen.join("\n").contains(text);
            assert!(is_right, "{} {command}: expected {status} and {text}\n{outcome}", form.words);
            let remedies = seen.iter().filter(|line| line.contains(": remedy: ")).count();
            let is_explained = remedies == 1 || remedies == 0 && *text != missing;
            assert!(seen.len() == 1 + remedies && is_explained, "{command}: one error, and its remedy\n{outcome}");
        }
    }
}

fn executable(file: &Path, content: &[u8]) {
    fs::write(file, content).expect("a file");
    fs::set_permissions(file, Permissions::from_mode(0o755)).expect("chmod");
}

/// The least that execve(2) reads before it looks for the loader: an ELF header like our own, and one PT_INTERP.
fn elf_without_loader() -> Vec<u8> {
    const HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;
    const PT_INTERP: u32 = 3;
    let mut own = fs::read("/proc/self/exe").expect("our own file");
    own.truncate(HEADER);
    own[16..18].copy_from_slice(&2_u16.to_le_bytes()); // e_type: ET_EXEC
    own[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes()); // e_phoff
    own[54..56].copy_from_slice(&(PROGRAM_HEADER as u16).to_le_bytes()); // e_phentsize
    own[56..58].copy_from_slice(&1_u16.to_le_bytes()); // e_phnum
    let loader = b"/no/such/loader\0";
    let mut header = vec![0; PROGRAM_HEADER];
    header[0..4].copy_from_slice(&PT_INTERP.to_le_bytes());
    header[8..16].copy_from_slice(&((HEADER + PROGRAM_HEADER) as u64).to_le_bytes()); // p_offset
    header[32..40].copy_from_slice(&(loader.len() as u64).to_le_bytes()); // p_filesz
    [own, header, loader.to_vec()].concat()
}
