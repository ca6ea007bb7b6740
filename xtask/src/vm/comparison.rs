//! A virtual machine and a container that run the same program, side by side: what each costs, for lesson 0.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernel::{self, Kernel};
use super::{X86_64, initramfs, what_is_missing};
use crate::workspace;

/// An emulated processor on a busy machine needs a minute at most.
const LIMIT: Duration = Duration::from_secs(600);

/// The first program of the guest. It waits for the end, so that the memory of QEMU can be read.
const INIT: &str = "#!/bin/busybox sh\necho \"release $(/bin/busybox uname -r)\"\nexec /bin/busybox sleep 600\n";

/// The program of the container.
const COMMAND: &str = "echo \"release $(/bin/busybox uname -r)\"; exec /bin/busybox sleep 600";

/// What a system costs that runs a busybox.
pub struct Cost {
    release: String,
    start: Duration,
    memory_kib: u64,
    bytes: u64,
}

/// Both, for a table.
pub struct Comparison {
    machine: Cost,
    container: Cost,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, container } = self;
        let mut row =
            |name: &str, of: &dyn Fn(&Cost) -> String| writeln!(f, "{name:<10}{:<28}{}", of(machine), of(container));
        let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
        row("", &|cost| if std::ptr::eq(cost, machine) { "virtual machine".into() } else { "container".into() })?;
        row("kernel", &|cost| cost.release.clone())?;
        row("starts in", &|cost| format!("{} ms", cost.start.as_millis()))?;
        row("memory", &|cost| mib(cost.memory_kib << 10))?;
        row("files", &|cost| mib(cost.bytes))
    }
}

/// Starts one after the other, and measures them.
pub fn compare(tools: &Path) -> Result<Comparison> {
    Ok(Comparison { machine: machine()?, container: container(tools)? })
}

/// Boots the smallest machine: a kernel of Debian and a busybox, on an emulated processor, which works everywhere.
fn machine() -> Result<Cost> {
    let mut reasons = Vec::new();
    for series in super::series() {
        match what_is_missing(series, &X86_64)? {
            None => return boot(&kernel::unpack(series, &X86_64)?),
            Some(reason) => reasons.push(reason),
        }
    }
    bail!("no virtual machine can be started: {}", reasons.join("; "))
}

fn boot(kernel: &Kernel) -> Result<Cost> {
    let archive = super::folder()?.join("comparison.cpio");
    fs::write(&archive, initramfs::pack_small(INIT)?)?;
    let mut qemu = Command::new(X86_64.qemu);
    qemu.args(["-accel", "tcg,thread=single", "-smp", "1", "-m", "256", "-nodefaults", "-no-user-config"]);
    qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&archive);
    qemu.args(["-append", "console=ttyS0 panic=-1 loglevel=1"]);
    let running = Running::start(qemu)?;
    let memory_kib = running.peak_memory()?;
    let bytes = fs::metadata(&kernel.image)?.len() + fs::metadata(&archive)?.len();
    Ok(Cost { release: running.release.clone(), start: running.start, memory_kib, bytes })
}

/// Starts a container of one busybox.
fn container(tools: &Path) -> Result<Cost> {
    let root = std::env::temp_dir().join(format!("xtask-comparison-{}", std::process::id()));
    fs::create_dir_all(root.join("bin"))?;
    let busybox = workspace::program("busybox").context("busybox is not installed (apt-get install busybox-static)")?;
    let bytes = fs::copy(busybox, root.join("bin/busybox"))?;
    let mut chain = Command::new(tools.join("unshare-rs"));
    if !workspace::is_root()? {
        chain.args(["--user", "--map-root-user"]);
    }
    chain.args(["--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child", "--"]);
    chain.arg(tools.join("chroot-rs")).arg("--std").arg(&root).args(["--", "/bin/busybox", "sh", "-c", COMMAND]);
    let measured = Running::start(chain).and_then(|running| {
        let memory_kib = running.memory_of_child()?;
        Ok(Cost { release: running.release.clone(), start: running.start, memory_kib, bytes })
    });
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    measured
}

/// What was started, and has printed the release of its kernel. It is killed when this is dropped.
struct Running {
    child: Child,
    release: String,
    start: Duration,
}

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let begin = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut running = Self { child, release: String::new(), start: Duration::ZERO };
        let stdout = running.child.stdout.take().context("stdout was not piped")?;
        let (send, release) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
            for line in lines.map(|line| String::from_utf8_lossy(&line).into_owned()) {
                // Firmware leaves control characters before the first line.
                if let Some((_, release)) = line.split_once("release ") {
                    send.send(release.trim().to_owned()).ok(); // If nobody waits any more, it has taken too long.
                    return;
                }
            }
        });
        running.release =
            release.recv_timeout(LIMIT).with_context(|| format!("{command:?} printed no kernel release"))?;
        running.start = begin.elapsed();
        Ok(running)
    }

    fn peak_memory(&self) -> Result<u64> {
        kibibytes(self.child.id(), "VmHWM:")
    }

    /// The memory of the child: the shell, or the program that it has become.
    fn memory_of_child(&self) -> Result<u64> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let child = children.split_whitespace().next().context("the container has ended")?;
        kibibytes(child.parse()?, "VmHWM:")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("xtask: cannot kill what was measured: {error}");
        }
    }
}

/// Reads a line of /proc/PID/status such as `VmHWM:     1024 kB`.
fn kibibytes(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_for_each() {
        let cost = |release: &str, ms, memory_kib, bytes| Cost {
            release: release.to_owned(),
            start: Duration::from_millis(ms),
            memory_kib,
            bytes,
        };
        let both = Comparison { machine: cost("6.12", 8000, 2048, 3 << 20), container: cost("6.18", 9, 1536, 1 << 19) };
        let table = both.to_string();
        assert!(table.contains("starts in 8000 ms                     9 ms\n"), "{table}");
        assert!(table.contains("memory    2.0 MiB                     1.5 MiB\n"), "{table}");
        assert_eq!(table.lines().count(), 5, "{table}");
    }
}
