//! The environment of a row: the tools, the user, a directory for files, and the shell. Scripts have the tools first in
//! PATH, the C locale, a private working directory, and nothing on stdin.

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

use crate::harness::children;
use crate::harness::mounts::mounts;
use crate::harness::script::{Outcome, Script};

/// The argument of a row.
pub struct World {
    /// The directory of the five tools.
    pub tools: PathBuf,
    /// Whether the user is root.
    pub is_root: bool,
    /// Whether this is the project's own virtual machine.
    pub in_vm: bool,
    /// Whether it is the one whose process 1 is systemd.
    pub under_systemd: bool,
    /// `--case`: of the tables, only the cases that contain this text run.
    pub case: Option<String>,
    cases_chosen: Cell<usize>,
    scratch: PathBuf,
    busybox_root: OnceCell<PathBuf>,
}

impl World {
    /// Finds the tools and makes the directory for files. From now on, this process adopts orphans.
    pub fn new(in_vm: bool, under_systemd: bool, case: Option<String>) -> Result<Self> {
        let tools = match env::var_os("TOOLS") {
            Some(directory) => PathBuf::from(directory),
            None => env::current_exe()?.parent().context("the path of this program has no directory")?.to_owned(),
        };
        let scratch = env::temp_dir().join(format!("suite-{}", std::process::id()));
        fs::create_dir(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        // Rows change their user, and the new user must be able to use this directory.
        fs::set_permissions(&scratch, Permissions::from_mode(0o755))?;
        children::adopt_orphans().context("prctl(PR_SET_CHILD_SUBREAPER)")?;
        let (is_root, busybox_root) = (geteuid().is_root(), OnceCell::new());
        Ok(Self { tools, is_root, in_vm, under_systemd, case, cases_chosen: Cell::new(0), scratch, busybox_root })
    }

    /// Reports whether this case of a table runs: without `--case`, all do.
    pub fn chooses(&self, case: &str) -> bool {
        let is_chosen = self.case.as_ref().is_none_or(|text| case.contains(text));
        self.cases_chosen.set(self.cases_chosen.get() + usize::from(is_chosen));
        is_chosen
    }

    /// Returns the cases of a table that run.
    pub fn chosen<'a>(&self, table: &[&'a str]) -> Vec<&'a str> {
        table.iter().copied().filter(|case| self.chooses(case)).collect()
    }

    /// Returns the number of cases that were chosen so far.
    pub fn cases_chosen(&self) -> usize {
        self.cases_chosen.get()
    }

    /// Runs a script to its end. A pipeline fails with the last failing stage (`set -o pipefail`).
    pub fn sh(&self, script: &str) -> Outcome {
        self.script(script).run()
    }

    /// Makes a script that can get input, variables or another time limit, or that is started without waiting for its end.
    pub fn script(&self, script: &str) -> Script<'_> {
        Script::new(self, script)
    }

    /// Makes a bash script that runs in a new mount namespace; `$D` is a new directory of this name.
    pub fn apart(&self, name: &str, lines: &str) -> Script<'_> {
        let directory = self.directory(name);
        let file = directory.join("script");
        fs::write(&file, format!("D={}\n{lines}", directory.display())).expect("a file");
        self.script(&format!("exec unshare --mount --propagation private bash {}", file.display()))
    }

    /// Returns the options of unshare-rs that make this user root in the new namespaces.
    pub fn as_root(&self) -> &'static str {
        if self.is_root { "" } else { "--user --map-root-user" }
    }

    /// Repeats a check until it returns something or the time limit has passed.
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

    /// Returns the default time limit of a script. Emulated processors are about twenty times slower.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(if self.in_vm { 180 } else { 20 })
    }

    /// Makes an empty directory for one row; it is removed when the run ends. If another row has used the name, or the first
    /// run of the same row, it gets a number.
    pub fn directory(&self, name: &str) -> PathBuf {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        for name in std::iter::once(name.to_owned()).chain(numbered) {
            let path = self.scratch.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return path,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
        unreachable!("there are enough numbers")
    }

    /// Returns a directory that several rows share; the first of them makes it.
    pub fn shared_directory(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        path
    }

    /// Returns the root file system that rows share and do not write to: busybox, and mount points for a container. It is below
    /// a private directory, so that a container causes no warning about it.
    pub fn busybox_root(&self) -> &Path {
        self.busybox_root.get_or_init(|| {
            let private = self.shared_directory("private");
            fs::set_permissions(&private, Permissions::from_mode(0o700)).expect("a private directory");
            let root = private.join("busybox-root");
            self.make_busybox_root(&root).unwrap_or_else(|error| panic!("cannot make {}: {error:#}", root.display()));
            root
        })
    }

    /// Returns the program of this name in PATH.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path()).map(|directory| directory.join(name)).find(|file| file.is_file())
    }

    /// Returns the shell with a script as its argument.
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
        // If something is mounted in the directory, removing its contents would remove files of the host.
        let is_mounted_on = mounts().iter().any(|mount| Path::new(&mount.point).starts_with(&self.scratch));
        let removed = if is_mounted_on { Err(Errno::EBUSY.into()) } else { fs::remove_dir_all(&self.scratch) };
        if let Err(error) = removed {
            eprintln!("suite: cannot remove {}: {error}", self.scratch.display());
        }
    }
}
