//! One boot: QEMU with emulated processors, and its serial console, which is read until the guest has printed its results.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Machine;
use crate::report::Report;

/// Several guests may share two processors with other work.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Messages of a kernel that cannot continue.
const LAST_WORDS: [&str; 5] = ["Kernel panic", "Oops:", "BUG: ", "general protection fault", "blocked for more than"];

/// Boots a machine, and returns the results that the guest printed. They are shown with the series of the kernel; the whole
/// console is written to the log.
pub fn boot(machine: &Machine) -> Result<Report> {
    let path = &machine.log;
    let mut log = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut guest = Guest::start(machine)?;
    let mut verdicts = Vec::new();
    let mut is_shown = false;
    while let Some(line) = guest.line()? {
        writeln!(log, "{line}")?;
        is_shown |= line.starts_with("vm-init: ");
        if is_shown {
            println!("{}: {line}", machine.series);
        }
        if let Some(word) = LAST_WORDS.into_iter().find(|word| line.contains(word)) {
            guest.drain_into(&mut log)?;
            bail!("the kernel printed {word:?}");
        }
        verdicts.extend(line.strip_prefix("vm-init: success ").map(|counts| (true, Report::parse(counts))));
        verdicts.extend(line.strip_prefix("vm-init: failure ").map(|counts| (false, Report::parse(counts))));
    }
    match verdicts[..] {
        [(true, Some(report))] => {
            ensure!(report.failed == 0, "the guest reports success with {report}");
            Ok(report)
        }
        [(false, Some(report))] => Ok(report),
        _ => bail!("the guest printed its results {} times instead of once", verdicts.len()),
    }
}

struct Guest {
    qemu: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Guest {
    fn start(machine: &Machine) -> Result<Self> {
        let Machine { architecture, parameters, archive, .. } = machine;
        let mut qemu = Command::new(architecture.qemu);
        qemu.args(architecture.machine);
        qemu.args(["-accel", "tcg,thread=single", "-smp", "1", "-m", "2048", "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        qemu.arg("-kernel").arg(&machine.kernel.image).arg("-initrd").arg(archive);
        // A panic reboots at once, and -no-reboot ends QEMU then. Mitigations protect nothing here, and are slow.
        let always = "panic=-1 loglevel=4 mitigations=off cgroup_no_v1=all";
        qemu.arg("-append").arg(format!("console={} {always} {parameters}", architecture.console));
        let mut qemu = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start QEMU")?;
        let console = qemu.stdout.take().context("QEMU has no stdout")?;
        Ok(Self { qemu, lines: lines_of(console), deadline: Instant::now() + LIMIT })
    }

    /// Returns the next line of the console, or nothing if QEMU has ended.
    fn line(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("the guest did not end within {LIMIT:?}"),
        }
    }

    /// Reads the trace that follows the kernel's last message.
    fn drain_into(&mut self, log: &mut File) -> Result<()> {
        self.deadline = self.deadline.min(Instant::now() + Duration::from_secs(5));
        while let Ok(Some(line)) = self.line() {
            writeln!(log, "{line}")?;
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let ended = self.qemu.kill().and_then(|()| self.qemu.wait());
        if let Err(error) = ended {
            eprintln!("xtask: cannot kill QEMU: {error}");
        }
    }
}

fn lines_of(console: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if send.send(line).is_err() {
                return; // The receiver is gone.
            }
        }
    });
    lines
}
