//! What its cgroups' limits have done: OOM kills, failed forks, throttling, pressure, and whose limit it was.
//! The kernel's `Documentation/admin-guide/cgroup-v2.rst`, `Documentation/accounting/psi.rst`.

use plumbing::Fault;
use plumbing::cgroup::counters::{Counters, waiting};
use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::levels::{self, Tally};
use plumbing::cgroup::usage::{Member, number};
use plumbing::cgroup::verdict::{self, End};
use plumbing::command_line::units::seconds;
use plumbing::process::procfs;
use plumbing::text::Text;
use serde_json::json;

use super::fact::Page;
use super::seen::Seen;

/// The groups of a process, as far as they can be opened.
struct Groups {
    members: Vec<Member>,
    tallies: Vec<Tally>,
    counters: Counters,
    /// Why others cannot be opened.
    hidden: Vec<String>,
}

/// Adds what the limits have done.
pub(super) fn add(seen: &Seen<'_>, page: &mut Page) {
    let groups = match Groups::of(seen) {
        Ok(groups) => groups,
        Err(fault) => return page.failed("limits", seen.path("cgroup"), &fault),
    };
    if groups.members.is_empty() {
        return page.cannot("limits", seen.path("cgroup"), groups.hidden.join("; "));
    }
    let verdict = verdict::judge(&groups.counters, &groups.tallies, (&End::Own, &[]));
    page.say("limits", "events of its groups up to the root", verdict.text.clone(), json!(verdict));
    oom(&groups, page);
    cpu(&groups, page);
    pids(&groups, page);
    pressure(&groups, page);
    others(&groups.hidden, seen.path("cgroup"), page);
}

impl Groups {
    fn of(seen: &Seen<'_>) -> Result<Groups, Fault> {
        let table =
            procfs::read("self/mountinfo").map_err(|error| Fault::new(format!("/proc/self/mountinfo: {error}")))?;
        let hierarchies = Hierarchies::of_tables(seen.read("cgroup")?.as_bytes(), &table);
        let (mut members, mut hidden) = (Vec::new(), Vec::new());
        for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            match hierarchy.open(hierarchy.own_path()) {
                Ok(group) => members.push(Member { controllers: hierarchy.controllers.clone(), group }),
                Err(fault) => hidden.push(fault.to_string()),
            }
        }
        members.sort_by_key(|member| member.group.version);
        let levels = levels::counted(members.iter(), &hierarchies);
        Ok(Groups { tallies: levels::tallies(&levels)?, counters: Counters::of(members.iter())?, members, hidden })
    }

    /// Returns the group in which this controller counts, for messages.
    fn place(&self, controller: &str) -> Option<(&Member, String)> {
        let member = self.members.iter().find(|member| member.serves(controller))?;
        Some((member, Text::from(member.group.path()).shown()))
    }
}

/// Adds why other groups cannot be opened, as one fact: in JSON a label has only one.
fn others(hidden: &[String], source: String, page: &mut Page) {
    if !hidden.is_empty() {
        page.cannot("other groups", source, hidden.join("; "));
    }
}

fn oom(groups: &Groups, page: &mut Page) {
    match (&groups.counters.memory, groups.place("memory")) {
        (Some(memory), Some((member, place))) => {
            let file = if member.group.version == 2 { "memory.events" } else { "memory.oom_control" };
            let kills = memory.oom_kills;
            let text = if kills == 0 { "none since the group was made".to_owned() } else { kills.to_string() };
            page.say("OOM kills", format!("{file} of {place}"), text, json!(kills));
        }
        _ => page.cannot("OOM kills", "memory.events", "no memory controller counts for its group"),
    }
}

fn cpu(groups: &Groups, page: &mut Page) {
    let place = groups.place("cpu").map(|(_, place)| place);
    match (&groups.counters.cpu, place) {
        (Some(cpu), Some(place)) if cpu.nr_periods.is_some() => {
            let (periods, throttled) = (cpu.nr_periods.unwrap_or(0), cpu.nr_throttled.unwrap_or(0));
            let time = cpu.throttled_usec.map(|time| format!(", for {}", seconds(time))).unwrap_or_default();
            let text = match periods {
                0 => "no CPU limit of its own".to_owned(),
                _ => format!("in {throttled} of {periods} periods{time}"),
            };
            page.say("throttled", format!("cpu.stat of {place}"), text, json!(cpu));
        }
        _ => page.cannot("throttled", "cpu.stat", "no CPU controller counts for its group"),
    }
}

fn pids(groups: &Groups, page: &mut Page) {
    let Some((member, place)) = groups.place("pids") else {
        return page.cannot("processes", "pids.current", "no pids controller counts for its group");
    };
    match number(&member.group, "pids.current") {
        Ok(Some(now)) => {
            let least = groups.tallies.iter().filter(|it| it.pids_max.is_some()).min_by_key(|it| it.pids_max);
            let group = |it: &Tally| it.group.as_ref().map(Text::shown).unwrap_or_default();
            let limit = least.map_or_else(
                || "no limit".to_owned(),
                |it| format!("at most {} of {}", it.pids_max.unwrap_or(0), group(it)),
            );
            let failed: u64 = groups.tallies.iter().map(|it| it.pids_events).sum();
            let forks = if failed == 0 { String::new() } else { format!(", {failed} forks failed") };
            let value = json!({"current": now, "max": least.and_then(|it| it.pids_max), "failed_forks": failed});
            page.say("processes", format!("pids.current of {place}"), format!("{now}, {limit}{forks}"), value);
        }
        Ok(None) => page.cannot("processes", format!("pids.current of {place}"), "the root group does not count"),
        Err(fault) => page.failed("processes", format!("pids.current of {place}"), &fault),
    }
}

fn pressure(groups: &Groups, page: &mut Page) {
    let v2 = groups.members.iter().map(|member| &member.group).find(|group| group.version == 2);
    let source = || v2.map_or("*.pressure".to_owned(), |v2| format!("*.pressure of {}", Text::from(v2.path()).shown()));
    match waiting(v2) {
        Ok(shares) if !shares.is_empty() => {
            let shown: Vec<_> = shares.iter().map(|(resource, share)| format!("{resource} {share}%")).collect();
            page.say("pressure", source(), format!("{} of the last 10 s waited", shown.join(", ")), json!(shares));
        }
        Ok(_) => page.cannot("pressure", source(), "the kernel keeps no pressure for it (PSI is off, or cgroup v1)"),
        Err(fault) => page.failed("pressure", source(), &fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_groups_that_cannot_be_opened_are_in_the_json() {
        let mut page = Page::new(None, Some(7));
        others(&["no cpu".to_owned(), "no pids".to_owned()], "/proc/7/cgroup".to_owned(), &mut page);
        let line = page.json().unwrap();
        assert!(
            line.contains(r#""other_groups":{"unreadable":"no cpu; no pids","source":"/proc/7/cgroup"}"#),
            "{line}"
        );
    }
}
