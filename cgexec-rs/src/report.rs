//! `--report`: what a run has used, how it ended, and which limit acted; `--suggest`: limits for the next run.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::wait::WaitStatus;
use plumbing::cgroup::counters::{Counters, Disk, Pressure};
use plumbing::cgroup::verdict::{Process, Verdict};
use plumbing::command_line::units::seconds;
use plumbing::command_line::units::{bytes, percent};
use plumbing::kernel::{call, look};
use plumbing::text::Text;
use plumbing::{Fault, narrate};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::supervise::Ended;

/// Where the report goes, and how it looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Whether a report was asked for.
    pub(crate) is_given: bool,
    /// The file; stderr without one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) json: bool,
    /// `--suggest`.
    pub(crate) suggest: bool,
}

/// The report on a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The exit status of the command; absent if a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    /// The signal that ended the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'static str>,
    wall_usec: u64,
    group: Text,
    limits: Map<String, Value>,
    #[serde(flatten)]
    counters: Counters,
    verdict: Verdict,
    /// The processes that the kernel killed because memory ran out, or the largest ones when the guard acted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<Process>,
    /// Whether processes of the group were still running.
    is_running: bool,
    /// Options for the next run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggested: Vec<String>,
}

impl Report {
    /// Makes the report on a run that has ended.
    pub(crate) fn new(
        ended: &Ended,
        (group, limits): (Text, Map<String, Value>),
        counters: Counters,
        (verdict, processes): (Verdict, Vec<Process>),
        wish: &Wish,
    ) -> Report {
        let (status, signal) = match ended.how {
            WaitStatus::Exited(_, status) => (Some(status), None),
            WaitStatus::Signaled(_, signal, _) => (None, Some(signal.as_str())),
            _ => (None, None),
        };
        let wall_usec = u64::try_from(ended.wall.as_micros()).unwrap_or(u64::MAX);
        let suggested = if wish.suggest { suggested(&counters, wall_usec) } else { Vec::new() };
        let is_running = ended.is_interrupted;
        Report { status, signal, wall_usec, group, limits, counters, verdict, processes, is_running, suggested }
    }

    /// Writes the report.
    pub(crate) fn write(&self, wish: &Wish, output: Output) -> Result<(), Fault> {
        let text = match (wish.json, wish.is_given) {
            (true, _) => plumbing::json::line("the report", self)?,
            (false, true) => self.text(),
            (false, false) => self.suggestion(),
        };
        match output {
            Output::File(file, path) => {
                let text_of_call = format!("write({path:?})");
                look("write the report", text_of_call, || File::from(file).write_all(text.as_bytes()))
            }
            Output::Stderr => {
                look("write the report", "write(stderr)", || std::io::stderr().write_all(text.as_bytes()))
            }
        }
    }

    fn suggestion(&self) -> String {
        format!("suggested: {}\n", self.suggested.join(" "))
    }

    fn text(&self) -> String {
        let ended = match (self.status, self.signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, Some(signal)) => signal.to_owned(),
            (None, None) => "unknown".to_owned(),
        };
        let running = if self.is_running { "; processes of the group are still running" } else { "" };
        let ended = format!("{ended} after {}{running}", seconds(self.wall_usec));
        let mut lines = vec![("ended", ended), ("verdict", self.verdict.text.clone())];
        lines.extend(self.cpu());
        lines.extend(self.memory().map(|memory| ("memory", memory)));
        if let Some(pids) = &self.counters.pids {
            let max = self.limit("pids.max").map(|max| format!(" of {max}")).unwrap_or_default();
            lines.push(("processes", format!("peak {}{max}", pids.peak)));
        }
        for Disk { device, name, rbytes, wbytes, rios, wios } in &self.counters.io {
            let name = name.as_ref().unwrap_or(device);
            lines
                .push(("io", format!("{name}: read {} ({rios}), written {} ({wios})", bytes(*rbytes), bytes(*wbytes))));
        }
        lines.extend(self.counters.net.map(|net| ("network", net.text())));
        let waited = |(resource, it): (&&str, &Pressure)| {
            (it.some_usec >= 1000).then(|| format!("{resource} {}", seconds(it.some_usec)))
        };
        let waits: Vec<_> = self.counters.pressure.iter().filter_map(waited).collect();
        lines.extend((!waits.is_empty()).then(|| ("waited for", waits.join(", "))));
        lines.extend((!self.suggested.is_empty()).then(|| ("suggested", self.suggested.join(" "))));
        lines.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
    }

    fn limit(&self, file: &str) -> Option<u64> {
        self.limits.get(file).and_then(Value::as_u64)
    }

    fn cpu(&self) -> Vec<(&'static str, String)> {
        let Some(cpu) = &self.counters.cpu else { return Vec::new() };
        let share = u128::from(cpu.usage_usec) * 100 / u128::from(self.wall_usec.max(1));
        let parts = match (cpu.user_usec, cpu.system_usec) {
            (Some(user), Some(system)) => format!(" (user {}, system {})", seconds(user), seconds(system)),
            _ => String::new(),
        };
        let limit = self.limits.get("cpu.max").and_then(|limit| percent(limit.as_str()?));
        let limit = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        let mut lines = vec![("cpu", format!("{}{parts}, {share}% of one CPU{limit}", seconds(cpu.usage_usec)))];
        if let (Some(throttled), Some(periods)) = (cpu.nr_throttled.filter(|throttled| *throttled > 0), cpu.nr_periods)
        {
            let time = cpu.throttled_usec.map(|time| format!(", {}", seconds(time))).unwrap_or_default();
            lines.push(("throttled", format!("in {throttled} of {periods} periods{time}")));
        }
        lines
    }

    fn memory(&self) -> Option<String> {
        let memory = self.counters.memory.as_ref()?;
        let peak = memory.peak.map_or_else(|| "unknown".to_owned(), bytes);
        let max = self.limit("memory.max").map(|max| format!(" of {}", bytes(max))).unwrap_or_default();
        let swap = memory.swap_peak.filter(|swap| *swap > 0).map(|swap| format!(", swap peak {}", bytes(swap)));
        let kills = (memory.oom_kills > 0).then(|| format!(", OOM kills {}", memory.oom_kills));
        Some(format!("peak {peak}{max}{}{}", swap.unwrap_or_default(), kills.unwrap_or_default()))
    }
}

/// Where a report is written.
pub(crate) enum Output {
    File(OwnedFd, PathBuf),
    Stderr,
}

impl Output {
    /// Opens the file of the report, before the command starts: a report that cannot be written is an error at once.
    pub(crate) fn open(wish: &Wish) -> Result<Output, Fault> {
        let Some(file) = &wish.file else { return Ok(Output::Stderr) };
        let text = format!("openat(AT_FDCWD, {:?}, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0644)", file.to_string_lossy());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let opened =
            call("open the report", text, "before the command starts, so that an error is no surprise", || {
                openat(CWD, file, flags, Mode::from_raw_mode(0o644))
            })?;
        Ok(if narrate::is_dry_run() { Output::Stderr } else { Output::File(opened, file.clone()) })
    }
}

/// Returns the file of `--report=FILE`; the words `json` and `-` are no files.
pub(crate) fn file(word: &Path) -> Option<PathBuf> {
    (word != Path::new("json") && word != Path::new("-")).then(|| word.to_owned())
}

/// Returns limits with a fifth more than what was used.
fn suggested(counters: &Counters, wall_usec: u64) -> Vec<String> {
    const STEP: u64 = 4 << 20;
    let more = |amount: u64| amount + amount.div_ceil(5);
    let memory = counters.memory.as_ref().and_then(|memory| memory.peak);
    let memory = memory.map(|peak| ("--memory", bytes(more(peak).div_ceil(STEP) * STEP)));
    let pids = counters.pids.as_ref().map(|pids| ("--pids", more(pids.peak).to_string()));
    let cpus = counters.cpu.as_ref().map(|cpu| {
        let percent = more(cpu.usage_usec).saturating_mul(100) / wall_usec.max(1);
        ("--cpus", format!("{}%", percent.div_ceil(10).max(1) * 10))
    });
    [memory, pids, cpus].into_iter().flatten().flat_map(|(option, value)| [option.to_owned(), value]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbing::cgroup::counters::{Cpu, Memory, Pids};

    #[test]
    fn suggested_limits_leave_a_fifth() {
        let counters = Counters {
            cpu: Some(Cpu { usage_usec: 1_000_000, ..Cpu::default() }),
            memory: Some(Memory { peak: Some(20 << 20), ..Memory::default() }),
            pids: Some(Pids { peak: 5 }),
            ..Counters::default()
        };
        assert_eq!(suggested(&counters, 2_000_000), ["--memory", "24M", "--pids", "6", "--cpus", "60%"]);
    }

    #[test]
    fn json_is_a_form_and_no_file() {
        assert_eq!(file(Path::new("json")), None);
        assert_eq!(file(Path::new("./json")), Some("./json".into()));
    }
}
