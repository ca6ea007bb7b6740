//! The world of a row: where the tools are, who we are, a place for files, and the shell. Scripts see the tools first
//! in PATH, the C locale, a directory of their own as working directory, and nothing on stdin.

use std::cell::{Cell, OnceCell};
use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::children;
use crate::mounts::mounts;
use crate::script::{Outcome, Script};

/// What a row is given.
pub struct World {
    /// The directory of the five tools.
    pub tools: PathBuf,
    /// Whether we are root.
    pub is_root: bool,
    /// Whether this is the project's own virtual machine.
    pub in_vm: bool,
    /// `--case`: of the tables, only the cases that contain this text run.
    pub case: Option<String>,
    cases_chosen: Cell<usize>,
    scratch: PathBuf,
    busybox_root: OnceCell<PathBuf>,
}

impl World {
    /// Finds the tools and makes the place for files. From here on, orphans come to us.
    pub fn new(in_vm: bool, case: Option<String>) -> Result<Self> {
        let tools = match env::var_os("TOOLS") {
            Some(directory) => PathBuf::from(directory),
            None => env::current_exe()?.parent().context("this program lies in no directory")?.to_owned(),
        };
        let scratch = env::temp_dir().join(format!("suite-{}", std::process::id()));
        fs::create_dir(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        // Rows change their user; what they change into must be able to look in here.
        fs::set_permissions(&scratch, Permissions::from_mode(0o755))?;
        children::adopt_orphans().context("prctl(PR_SET_CHILD_SUBREAPER)")?;
        let (is_root, busybox_root) = (geteuid().is_root(), OnceCell::new());
        Ok(Self { tools, is_root, in_vm, case, cases_chosen: Cell::new(0), scratch, busybox_root })
    }

    /// Whether this case of a table runs: without `--case`, all do.
    pub fn chooses(&self, case: &str) -> bool {
        let is_chosen = self.case.as_ref().is_none_or(|text| case.contains(text));
        self.cases_chosen.set(self.cases_chosen.get() + usize::from(is_chosen));
        is_chosen
    }

    /// The cases of a table that run.
    pub fn chosen<'a>(&self, table: &[&'a str]) -> Vec<&'a str> {
        table.iter().copied().filter(|case| self.chooses(case)).collect()
    }

    /// How many cases were chosen so far.
    pub fn cases_chosen(&self) -> usize {
        self.cases_chosen.get()
    }

    /// Runs a script to its end. A pipeline fails with the last stage that failed (`set -o pipefail`).
    pub fn sh(&self, script: &str) -> Outcome {
        self.script(script).run()
    }

    /// A script to be given input, variables or another limit of time, or to be started without waiting.
    pub fn script(&self, script: &str) -> Script<'_> {
        Script::new(self, script)
    }

    /// Lines for bash in a mount namespace of their own; `$D` is a directory of theirs, of this name.
    pub fn apart(&self, name: &str, lines: &str) -> Script<'_> {
        let directory = self.directory(name);
        let file = directory.join("script");
        fs::write(&file, format!("D={}\n{lines}", directory.display())).expect("a file");
        self.script(&format!("exec unshare --mount --propagation private bash {}", file.display()))
    }

    /// The options of unshare-rs that make us root of what it makes.
    pub fn as_root(&self) -> &'static str {
        if self.is_root { "" } else { "--user --map-root-user" }
    }

    /// Looks again and again, until there is something to see or the limit of time has passed.
    pub fn eventually<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + self.limit();
        loop {
            let seen = look();
            if seen.is_some() || Instant::now() > deadline {
                return seen;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The limit of time for a script that names none. Emulated processors are about twenty times slower.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(if self.in_vm { 180 } else { 20 })
    }

    /// An empty directory that nobody else uses, gone when the run ends.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        path
    }

    /// A directory that several rows share, made when the first of them asks for it.
    pub fn shared_directory(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        path
    }

    /// The root file system that rows share and do not write to: busybox, and the directories that a container
    /// mounts on. Below a private directory, where a container is not warned of.
    pub fn busybox_root(&self) -> &Path {
        self.busybox_root.get_or_init(|| {
            let private = self.shared_directory("private");
            fs::set_permissions(&private, Permissions::from_mode(0o700)).expect("a private directory");
            let root = private.join("busybox-root");
            self.make_busybox_root(&root).unwrap_or_else(|error| panic!("cannot make {}: {error:#}", root.display()));
            root
        })
    }

    /// The program that this name finds in PATH.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path()).map(|directory| directory.join(name)).find(|file| file.is_file())
    }

    /// The shell, told to run a script.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = match self.program("bash") {
            Some(bash) => Command::new(bash),
            None => {
                let mut busybox = Command::new("busybox");
                busybox.arg("sh");
                busybox
            }
        };
        command.args(["-o", "pipefail", "-c", script]).current_dir(&self.scratch);
        command.env("PATH", self.path()).env("LC_ALL", "C").env("TOOLS", &self.tools);
        command
    }

    fn path(&self) -> OsString {
        let inherited = env::var_os("PATH").unwrap_or_default();
        // An unprivileged user's PATH often lacks the sbin directories, where ip and nft are.
        let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
        let all = [self.tools.clone()].into_iter().chain(env::split_paths(&inherited)).chain(system);
        env::join_paths(all).unwrap_or_else(|error| panic!("{} cannot be in PATH: {error}", self.tools.display()))
    }

    fn make_busybox_root(&self, root: &Path) -> Result<()> {
        let busybox = self.program("busybox").context("busybox is not in PATH (apt-get install busybox-static)")?;
        for directory in ["bin", "dev", "etc", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
        fs::copy(&busybox, root.join("bin/busybox"))?;
        let applets = Command::new(&busybox).arg("--list").output().context("busybox --list")?.stdout;
        for applet in String::from_utf8(applets)?.lines().filter(|applet| *applet != "busybox") {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
        for name in ["hostname", "hosts", "resolv.conf"] {
            fs::write(root.join("etc").join(name), "")?;
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // To remove what is mounted in there would be to remove files of the host.
        let is_mounted_on = mounts().iter().any(|mount| Path::new(&mount.point).starts_with(&self.scratch));
        let removed = if is_mounted_on { Err(Errno::EBUSY.into()) } else { fs::remove_dir_all(&self.scratch) };
        if let Err(error) = removed {
            eprintln!("suite: cannot remove {}: {error}", self.scratch.display());
        }
    }
}
