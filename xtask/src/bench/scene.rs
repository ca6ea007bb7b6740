//! The files for measuring: fresh copies of every program, a root, a cgroup and a network namespace, all made before and
//! removed after.
//!
//! Two files with the same content may differ by up to 70 µs at start, depending on how the page cache holds them. So all
//! are copied at the same time, the peers too.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};

use anyhow::{Context, Result, ensure};

use super::bundle;
use super::newest::Newest;
use super::table::{Run, Stage};
use crate::elf;
use crate::workspace::{self, TOOLS};

const PEERS: [&str; 11] =
    ["unshare", "nsenter", "lsns", "chroot", "cgexec", "ip", "bwrap", "crun", "runc", "systemd-cgls", "systemd-cgtop"];
const DIRECTORIES: [&str; 9] = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var"];

/// The files, the cgroup and the network namespace.
pub struct Scene {
    folder: PathBuf,
    /// A cgroup without limits, by its path in the hierarchy of the memory controller; `None` if it could not be made.
    pub group: Option<String>,
    /// The name of a network namespace, if one could be made.
    pub network: Option<String>,
    /// The peers, if they are not those of this machine.
    pub newest: Option<Newest>,
    made: Vec<PathBuf>,
    /// Processes to enter.
    targets: Vec<Child>,
}

impl Scene {
    /// Makes all of them.
    pub fn set(ours: &Path, newest: Option<Newest>) -> Result<Scene> {
        let folder = std::env::temp_dir().join(format!("xtask-bench-{}", id()));
        // Closed to other users: otherwise each container with our root prints that they can reach it.
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        let mut scene = Scene { folder, group: None, network: None, newest, made: Vec::new(), targets: Vec::new() };
        match scene.fill(ours) {
            Ok(()) => Ok(scene),
            Err(error) => Err(scene.strike().err().unwrap_or(error)),
        }
    }

    fn fill(&mut self, ours: &Path) -> Result<()> {
        fs::create_dir(self.folder.join("bin"))?;
        for tool in TOOLS.into_iter().chain(["floor"]) {
            self.copy(&ours.join(tool), &format!("bin/{tool}"))?;
        }
        for peer in PEERS {
            let found = match &self.newest {
                Some(newest) => newest.program(peer),
                None => workspace::program(peer),
            };
            if let Some(file) = found {
                self.copy(&file, &format!("bin/{peer}"))?;
            }
        }
        let payload = static_busybox()?.unwrap_or_else(|| ours.join("floor"));
        self.copy(&payload, "bin/true")?;
        for directory in DIRECTORIES {
            fs::create_dir_all(self.root().join(directory))?;
        }
        self.copy(&payload, "root/bin/true")?;
        bundle::write(&self.folder, &self.root())?;
        self.make_group();
        self.make_network();
        Ok(())
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        fs::copy(from, self.folder.join(to)).with_context(|| format!("cannot copy {}", from.display()))?;
        // Synced, so that no write-back happens during a measurement.
        Ok(File::open(self.folder.join(to))?.sync_all()?)
    }

    /// Compiles a C program; `linked` is `-static-pie`, like our tools, or `-static`, at a fixed address. Returns `false` if there
    /// is no compiler.
    pub fn compile(&self, name: &str, source: &str, linked: &str) -> Result<bool> {
        let Some(cc) = workspace::program("cc") else { return Ok(false) };
        let (file, program) = (self.folder.join(format!("{name}.c")), self.folder.join(name));
        fs::write(&file, source).with_context(|| format!("cannot write {}", file.display()))?;
        let packed = (linked == "-static-pie").then(workspace::packed_relocations).flatten();
        workspace::must(Command::new(cc).args(["-O2", linked, "-s"]).args(packed).arg("-o").arg(&program).arg(file))?;
        // Copied like all others: the page cache holds a linker's file differently from a copy.
        self.copy(&program, &format!("bin/{name}"))?;
        Ok(true)
    }

    /// Starts a process that waits in new namespaces of these kinds.
    pub fn target(&mut self, namespaces: &str) -> Result<u32> {
        let mut command = Command::new(self.folder.join("bin/unshare-rs"));
        if !workspace::is_root()? {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(namespaces.split(' ')).args(["--fork", "--kill-child", "--", "sleep", "infinity"]);
        let child = command.spawn().context("cannot start unshare-rs")?;
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        self.targets.push(child);
        for _ in 0..1000 {
            // When it sleeps, it is in its namespaces.
            let inner = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{inner}/comm")).unwrap_or_default();
            if name == "sleep\n" {
                return Ok(inner.parse()?);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        anyhow::bail!("unshare-rs {namespaces} does not start sleep(1)")
    }

    /// Makes the cgroup. If root lacks privileges too, the rows that need them report the error.
    fn make_group(&mut self) {
        let name = format!("xtask-bench-{}", id());
        let path = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|root| Path::new(root).join(&name));
        if let Some(made) = path.into_iter().find(|path| fs::create_dir(path).is_ok()) {
            self.made.push(made);
            self.group = Some(name);
        }
    }

    /// Makes this many groups in the hierarchies of memory and of processes, or in that of cgroup v2; returns the path of the
    /// group in which they are.
    pub fn make_groups(&mut self, count: usize) -> Option<String> {
        let name = format!("xtask-bench-many-{}", id());
        let v1 = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"];
        let roots = if Path::new(v1[0]).exists() { &v1[..] } else { &["/sys/fs/cgroup"] };
        for outer in roots.iter().map(|root| Path::new(root).join(&name)).filter(|outer| fs::create_dir(outer).is_ok())
        {
            let inner = (0..count).map(|number| outer.join(format!("group-{number}")));
            let made: Vec<_> = inner.filter(|group| fs::create_dir(group).is_ok()).collect();
            // The inner ones are removed first.
            self.made.splice(0..0, made.into_iter().chain([outer]));
        }
        self.made.first().map(|_| format!("/{name}"))
    }

    fn make_network(&mut self) {
        let name = format!("xtask-bench-{}", id());
        let added = Command::new(self.folder.join("bin/netns-rs")).args(["add", &name]).output();
        if added.is_ok_and(|output| output.status.success()) {
            self.network = Some(name);
        }
    }

    /// Returns the root of every container.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Returns a path in the scene, such as a runtime's bundle or its state.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Parses one command line; its first word is one of the programs of the scene.
    pub fn stage(&self, line: &str) -> Stage {
        let mut words = line.split_whitespace();
        let program = self.folder.join("bin").join(words.next().unwrap_or_default());
        let arguments = words.map(|word| {
            if TOOLS.contains(&word) || PEERS.contains(&word) || word == "true" {
                self.path(&format!("bin/{word}"))
            } else {
                word.to_owned()
            }
        });
        Stage { program, arguments: arguments.collect() }
    }

    /// Parses a pipeline; returns the name of a program if it is missing.
    pub fn run(&self, line: &str) -> Run {
        let stages: Vec<_> = line.split(" | ").map(|stage| self.stage(stage)).collect();
        let mentioned = PEERS.into_iter().filter(|peer| line.split_whitespace().any(|word| word == *peer));
        match mentioned.into_iter().find(|peer| !self.folder.join("bin").join(peer).exists()) {
            Some(peer) => Run::NotHere(peer),
            None => Run::Stages(stages),
        }
    }

    /// Removes everything; fails if a command left something running or mounted there.
    pub fn strike(&mut self) -> Result<()> {
        for mut target in self.targets.drain(..) {
            target.kill().and_then(|()| target.wait()).context("cannot kill a process that was entered")?;
        }
        if let Some(name) = self.network.take() {
            workspace::must(Command::new(self.folder.join("bin/netns-rs")).args(["delete", &name]))?;
        }
        for group in self.made.drain(..) {
            fs::remove_dir(&group).with_context(|| format!("cannot remove {}", group.display()))?;
        }
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        ensure!(
            !mounts.contains(&*self.folder.to_string_lossy()),
            "something is mounted below {}",
            self.folder.display()
        );
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// Finds Debian's busybox-static, whose `true` starts faster than any Rust program.
fn static_busybox() -> Result<Option<PathBuf>> {
    let Some(busybox) = workspace::program("busybox") else { return Ok(None) };
    let file = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    Ok((!elf::asks_for_interpreter(&file)?).then_some(busybox))
}
