//! `--list --containers`: one line for each running container, as a table or as records. `namespaces(7)`.
//!
//! The kernel decides which namespaces a container shares with us. Its name was chosen by its author, so it is escaped
//! before it reaches a terminal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use plumbing::cgroup::hierarchy::memberships;
use plumbing::command_line::columns::aligned;
use plumbing::command_line::options::Narration;
use plumbing::pipeline::record::{Facts, Record};
use plumbing::process::target::Target;
use plumbing::process::{missing_proc, startup};
use plumbing::text::Text;
use plumbing::{Fault, Status};

use crate::find::{self, Container, Runtime};
use crate::stopped;

const EXAMPLES: &str = "\
Examples:
  nsenter-rs --list --containers                  all containers, their namespaces and start times
  nsenter-rs --list --containers --type podman    only podman's containers
  nsenter-rs --list --containers --all            also those that do not run, and how they ended
  nsenter-rs --list --containers --json | cgexec-rs --pipe --show | jq -r '[.name,.cgroup.memory.current]|@tsv'

Exit status: 0, or 125 for our own failure.";

/// List the running containers
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "nsenter-rs --list --containers", display_name = "nsenter-rs", version, after_help = EXAMPLES,
          override_usage = "nsenter-rs --list --containers [OPTIONS]")]
pub(crate) struct Options {
    /// Print JSON records, one per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Only containers of this runtime: docker, podman, cri-o, containerd, nspawn, lxc, hold, crun, runc
    #[arg(long = "type", value_name = "RUNTIME", value_parser = listed)]
    pub(crate) runtime: Option<Runtime>,
    /// Also list the containers of docker, podman, CRI-O and LXC that do not run
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) narration: Narration,
}

/// Parses a runtime of containers. systemd units and named network namespaces are not containers, and are not listed.
fn listed(text: &str) -> Result<Runtime, String> {
    match Runtime::read(text)? {
        Runtime::Systemd => Err("systemd units are not containers; use --target".to_owned()),
        Runtime::Netns => Err("named network namespaces are not containers; use --target".to_owned()),
        runtime => Ok(runtime),
    }
}

/// Prints the containers.
pub(crate) fn print(options: &Options) -> Result<Status, Fault> {
    missing_proc::remark_hidden();
    let mut containers = find::all(None)?.all;
    containers.retain(|container| options.runtime.is_none_or(|runtime| runtime == container.runtime));
    let mut rows = Vec::new();
    for container in &containers {
        match row(container, options.json) {
            // The container ended meanwhile.
            Err(_) if container.target.has_ended()? => {}
            row => rows.push(row?),
        }
    }
    let mut stopped = if options.all { find::stopped(None)? } else { Vec::new() };
    stopped.retain(|container| options.runtime.is_none_or(|runtime| runtime == container.runtime));
    if options.json {
        let records = rows.iter().filter_map(|(record, _)| Some(Ok(record.as_ref()?.to_line())));
        startup::print(&records.chain(stopped.iter().map(stopped::line)).collect::<Result<String, _>>()?)
    } else {
        startup::print(&table(rows.into_iter().map(|(_, cells)| cells).chain(stopped.iter().map(stopped::cells))))
    }
}

const HEAD: [&str; 9] = ["NAME", "RUNTIME", "PID", "IMAGE", "OWN", "SHARED", "USERS", "CGROUP", "SINCE"];

/// Returns the record, which only JSON needs, and the cells of the table.
fn row(container: &Container, json: bool) -> Result<(Option<Record>, [String; 9]), Fault> {
    let facts = Facts {
        started: started(&container.target),
        uid_map: id_map(container, "uid_map")?,
        gid_map: id_map(container, "gid_map")?,
        cgroup: cgroup(container)?,
    };
    let namespaces = container.namespaces();
    let kinds = |private: bool| {
        let kinds = namespaces.iter().filter(|(_, it)| it.private == private).map(|(kind, _)| kind.proc_name());
        or_dash(kinds.collect::<Vec<_>>().join(","))
    };
    let runtime = match container.author {
        0 => container.runtime.name().to_owned(),
        user => format!("{}@{user}", container.runtime.name()),
    };
    let is_host = facts.uid_map == [[0, 0, u32::MAX]];
    let users = facts.uid_map.iter().map(|[inside, outside, count]| format!("{inside}:{outside}:{count}"));
    let name = container.pod.as_ref().map(|pod| Text::from(format!("{pod}/{}", container.shown()).as_str()));
    let cells = [
        or_dash(name.unwrap_or_else(|| container.name()).shown()),
        runtime,
        container.target.pid().to_string(),
        or_dash(shown(container.image.as_deref())),
        kinds(true),
        kinds(false),
        if is_host { "host".to_owned() } else { or_dash(users.collect::<Vec<_>>().join(",")) },
        or_dash(facts.cgroup.as_ref().map(Text::shown).unwrap_or_default()),
        or_dash(facts.started.clone().unwrap_or_default()),
    ];
    let mut record = if json { Some(container.record()?) } else { None };
    record.as_mut().map_or(Ok(()), |record| record.set_member(&facts))?;
    Ok((record, cells))
}

fn shown(text: Option<&str>) -> String {
    text.map(|text| Text::from(text).shown()).unwrap_or_default()
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn id_map(container: &Container, file: &str) -> Result<Vec<[u32; 3]>, Fault> {
    let of_line = |line: &str| {
        let numbers: Vec<_> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().ok()
    };
    Ok(container.target.read(file)?.lines().filter_map(of_line).collect())
}

/// Returns the deepest of the container's groups: whatever hierarchies there are, that is the one that was made for it.
fn cgroup(container: &Container) -> Result<Option<Text>, Fault> {
    let command = container.command();
    let cgroup = command.as_ref().unwrap_or(&container.target).read("cgroup")?;
    let paths = memberships(cgroup.as_bytes()).map(|(_, path)| path);
    let deepest =
        paths.reduce(|best, path| if path.components().count() > best.components().count() { path } else { best });
    Ok(deepest.map(|path| Text::from(path.as_path())))
}

/// Returns when a process started: RFC 3339, in UTC. The kernel counts from boot, with a clock that does not jump.
pub(crate) fn started(process: &Target) -> Option<String> {
    let ticks = process.start_time().ok()?;
    let since_boot = Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec.try_into().ok()?, uptime.tv_nsec.try_into().ok()?);
    let started = SystemTime::now().checked_sub(uptime.checked_sub(since_boot)?)?;
    Some(rfc3339(started.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}

/// Formats a time as `2026-11-22T17:28:45Z`.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Years are counted from March, so that the leap day comes last; there are 719468 days from March 1 of year 0 to
    // 1970.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn table(rows: impl Iterator<Item = [String; 9]>) -> String {
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_date() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), date);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let row = ["web"; 9].map(str::to_owned);
        let text = table([row].into_iter());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].find("PID"), lines[1].match_indices("web").nth(2).map(|(place, _)| place));
    }
}
