//! One line that says which limit acted on a run, and of which group. Pure.
//!
//! The worst comes first: killed, then refused, then slowed. Counters of groups above the own one include other
//! processes, so such a group is named only if the own group was affected.

use crate::command_line::units::{bit_rate_text, bytes, percent, seconds};
use crate::text::Text;
use serde::Serialize;

use crate::cgroup::counters::Counters;
use crate::cgroup::levels::Tally;

/// A process and its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its name.
    pub name: Text,
    /// In bytes.
    pub memory: u64,
}

impl Process {
    /// Returns the name and the memory as people read them.
    pub fn shown(&self) -> String {
        format!("{} {}", self.name.shown(), bytes(self.memory))
    }
}

/// What limits did to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Processes were killed.
    Killed,
    /// Forks failed.
    Refused,
    /// Processes were slowed down.
    Slowed,
    /// No limit was reached.
    Unlimited,
}

/// The verdict on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The worst of what they did.
    pub outcome: Outcome,
    /// The v2 file of the limit, or `max-time`; absent if the machine ran out of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'static str>,
    /// Its value, as people read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The group that has the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Text>,
    /// All of it on one line.
    pub text: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a limit.
    Own,
    /// We ended it because of this time limit.
    Time(String),
    /// The guard against running out of memory ended it.
    Guard,
}

/// Judges a run by its counters, by the events of the groups from its own up to the root, and by how it ended. The
/// processes are those that were killed, or the largest ones when the guard acted; the largest first.
pub fn judge(counters: &Counters, levels: &[Tally], (end, processes): (&End, &[Process])) -> Verdict {
    let largest = processes.first().map(|process| format!(", largest {}", process.shown())).unwrap_or_default();
    let of_kills = if *end == End::Guard { "" } else { &largest };
    let ended = || match end {
        End::Own => None,
        End::Time(limit) => Some(timed_out(limit)),
        End::Guard => Some(guarded(levels, &largest)),
    };
    killed(counters, levels, of_kills)
        .or_else(ended)
        .or_else(|| refused(levels))
        .or_else(|| throttled(levels))
        .or_else(|| reclaimed(counters, levels))
        .or_else(|| paced(counters, levels))
        .unwrap_or_else(|| unlimited(counters, levels))
}

fn verdict(outcome: Outcome, limit: &'static str, value: String, level: &Tally, effect: &str) -> Verdict {
    let group = level.group.clone();
    let word = match outcome {
        Outcome::Killed => "killed",
        Outcome::Refused => "refused",
        _ => "slowed",
    };
    let shown = group.as_ref().map(Text::shown).unwrap_or_default();
    let text = format!("{word}: {limit} {value} of {shown} {effect}");
    Verdict { outcome, limit: Some(limit), value: Some(value), group, text }
}

fn killed(counters: &Counters, levels: &[Tally], largest: &str) -> Option<Verdict> {
    let kills = counters.memory.as_ref()?.oom_kills;
    if kills == 0 {
        return None;
    }
    let kills = if kills == 1 { format!("(1 OOM kill{largest})") } else { format!("({kills} OOM kills{largest})") };
    let culprit = levels.iter().find(|level| level.oom > 0).or_else(|| levels.iter().find(|level| level.is_full));
    Some(match culprit {
        Some(level) => {
            let value = level.memory_max.map_or_else(|| "max".to_owned(), bytes);
            verdict(Outcome::Killed, "memory.max", value, level, &kills)
        }
        None => Verdict {
            outcome: Outcome::Killed,
            limit: None,
            value: None,
            group: None,
            text: format!("killed: the machine ran out of memory, or a group that cannot be seen from here {kills}"),
        },
    })
}

fn guarded(levels: &[Tally], largest: &str) -> Verdict {
    let own = levels.iter().find(|level| level.is_own && level.memory_high.is_some());
    let value = own.and_then(|level| level.memory_high).map(bytes);
    let group = own.and_then(|level| level.group.clone());
    let shown = group.as_ref().map(Text::shown).unwrap_or_default();
    let text = format!("killed: --oom-guard, at memory.high {} of {shown}{largest}", value.as_deref().unwrap_or("max"));
    Verdict { outcome: Outcome::Killed, limit: Some("memory.high"), value, group, text }
}

fn timed_out(limit: &str) -> Verdict {
    Verdict {
        outcome: Outcome::Killed,
        limit: Some("max-time"),
        value: Some(limit.to_owned()),
        group: None,
        text: format!("killed: --max-time {limit}"),
    }
}

fn refused(levels: &[Tally]) -> Option<Verdict> {
    let counted = levels.iter().find(|level| level.pids_events > 0)?;
    // v1 counts in the group that forks; the smallest limit above it has acted.
    let level = match counted.version {
        1 => levels
            .iter()
            .filter(|level| level.version == 1 && level.pids_max.is_some())
            .min_by_key(|level| level.pids_max)?,
        _ => counted,
    };
    let value = level.pids_max.map_or_else(|| "max".to_owned(), |max| max.to_string());
    let times = counted.pids_events;
    let effect = if times == 1 { "(1 fork failed)".to_owned() } else { format!("({times} forks failed)") };
    Some(verdict(Outcome::Refused, "pids.max", value, level, &effect))
}

fn throttled(levels: &[Tally]) -> Option<Verdict> {
    // The own group knows whether any of the limits has stopped it.
    let is_free = levels.iter().any(|level| level.is_own && level.stopped_usec == Some(0));
    let level =
        levels.iter().filter(|level| level.nr_throttled > 0 && !is_free).max_by_key(|level| level.throttled_usec)?;
    let value = level.cpu_max.as_deref().and_then(percent).unwrap_or_else(|| "max".to_owned());
    let share = level.nr_throttled * 100 / level.nr_periods.max(1);
    let effect = format!("stopped it in {share}% of the periods");
    Some(verdict(Outcome::Slowed, "cpu.max", value, level, &effect))
}

fn reclaimed(counters: &Counters, levels: &[Tally]) -> Option<Verdict> {
    let waited = counters.pressure.get("memory").is_some_and(|pressure| pressure.some_usec > 0);
    let level = levels.iter().find(|level| level.memory_high_events > 0 && (level.is_own || waited))?;
    let value = level.memory_high.map_or_else(|| "max".to_owned(), bytes);
    let effect = format!("(reached {} times)", level.memory_high_events);
    Some(verdict(Outcome::Slowed, "memory.high", value, level, &effect))
}

fn paced(counters: &Counters, levels: &[Tally]) -> Option<Verdict> {
    let net = counters.net.filter(|net| net.limited_usec > 0)?;
    let own = levels.iter().find(|level| level.is_own && level.version == 2)?;
    let effect = format!("(at the limit for {})", seconds(net.limited_usec));
    Some(verdict(Outcome::Slowed, "net-rate", bit_rate_text(net.rate), own, &effect))
}

fn unlimited(counters: &Counters, levels: &[Tally]) -> Verdict {
    let share = |peak: Option<u64>, max: Option<u64>| Some(u128::from(peak?) * 100 / u128::from(max?.max(1)));
    let least = |of: fn(&Tally) -> Option<u64>| levels.iter().filter_map(of).min();
    let peak = |share: Option<u128>, what, file| share.map(|share| format!("{what} peak was {share}% of {file}"));
    let memory = share(counters.memory.as_ref().and_then(|memory| memory.peak), least(|level| level.memory_max));
    let pids = share(counters.pids.as_ref().map(|pids| pids.peak), least(|level| level.pids_max));
    let peaks: Vec<_> =
        [peak(memory, "memory", "memory.max"), peak(pids, "process", "pids.max")].into_iter().flatten().collect();
    let text = if peaks.is_empty() {
        "no limit was reached".to_owned()
    } else {
        format!("no limit was reached; {}", peaks.join(", "))
    };
    Verdict { outcome: Outcome::Unlimited, limit: None, value: None, group: None, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::counters::{Memory, Pids};

    fn level(path: &str) -> Tally {
        Tally { group: Some(Text::from(std::path::Path::new(path))), version: 2, ..Tally::default() }
    }

    const OWN: (&End, &[Process]) = (&End::Own, &[]);

    fn killed_once() -> Counters {
        Counters { memory: Some(Memory { oom_kills: 1, peak: Some(50), swap_peak: None }), ..Counters::default() }
    }

    #[test]
    fn the_group_whose_limit_acted_is_named() {
        let own = Tally { is_own: true, ..level("/box/web") };
        let outer = Tally { oom: 1, memory_max: Some(256 << 20), ..level("/box") };
        let verdict = judge(&killed_once(), &[own.clone(), outer], OWN);
        assert_eq!(verdict.text, "killed: memory.max 256M of /box (1 OOM kill)");
        let processes = [Process { name: "python3".into(), memory: 240 << 20 }];
        let outer = Tally { oom: 1, memory_max: Some(256 << 20), ..level("/box") };
        let verdict = judge(&killed_once(), &[outer], (&End::Own, &processes));
        assert_eq!(verdict.text, "killed: memory.max 256M of /box (1 OOM kill, largest python3 240M)");
        let full = Tally { is_own: true, memory_high: Some(240 << 20), ..level("/box/web") };
        let verdict = judge(&Counters::default(), &[full], (&End::Guard, &processes));
        assert_eq!(verdict.text, "killed: --oom-guard, at memory.high 240M of /box/web, largest python3 240M");
        let slow = Tally {
            nr_periods: 100,
            nr_throttled: 41,
            throttled_usec: 9,
            cpu_max: Some("50000 100000".into()),
            ..level("/box")
        };
        let verdict = judge(&Counters::default(), &[own.clone(), slow.clone()], OWN);
        assert_eq!(verdict.text, "slowed: cpu.max 50% of /box stopped it in 41% of the periods");
        // Others in /box were stopped, not this one.
        let free = Tally { stopped_usec: Some(0), ..own.clone() };
        assert_eq!(judge(&Counters::default(), &[free, slow], OWN).outcome, Outcome::Unlimited);
        let full = Tally { pids_events: 2, pids_max: Some(3), ..level("/box") };
        assert_eq!(judge(&Counters::default(), &[own, full], OWN).text, "refused: pids.max 3 of /box (2 forks failed)");
    }

    #[test]
    fn v1_counts_a_failed_fork_in_the_group_that_forks() {
        let own = Tally { version: 1, pids_events: 1, pids_max: Some(100), ..level("/a/b") };
        let outer = Tally { version: 1, pids_max: Some(7), ..level("/a") };
        assert_eq!(judge(&Counters::default(), &[own, outer], OWN).text, "refused: pids.max 7 of /a (1 fork failed)");
    }

    #[test]
    fn without_a_limit_that_acted_the_peaks_are_compared() {
        let counters = Counters {
            memory: Some(Memory { oom_kills: 0, peak: Some(61), swap_peak: None }),
            pids: Some(Pids { peak: 2 }),
            ..Counters::default()
        };
        let own = Tally { memory_max: Some(100), ..level("/a") };
        let verdict = judge(&counters, &[own], OWN);
        assert_eq!(verdict.text, "no limit was reached; memory peak was 61% of memory.max");
        let timed = End::Time("30s".to_owned());
        assert_eq!(judge(&counters, &[], (&timed, &[])).text, "killed: --max-time 30s");
        assert_eq!(judge(&killed_once(), &[], (&timed, &[])).limit, None);
    }
}
