//! The page: what is isolated and how, then the findings, dangers first.
//!
//! Colors are used only on a terminal, and not if `NO_COLOR` is set; names are always escaped.

use std::fmt::Display;

use plumbing::command_line::units::{bytes, percent};
use plumbing::pipeline::mark;
use plumbing::pipeline::record::Record;
use plumbing::process::target::Target;
use plumbing::text::{Text, on_one_line};

use super::Isolation;
use super::cgroup::Group;
use super::findings::{Finding, Severity};
use super::id_maps::Ids;
use super::mounts::Mounts;
use super::namespaces::Namespace;
use super::reading::{List, Reading};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Returns the page.
pub(super) fn page(record: &Record, target: &Target, isolation: &Isolation) -> String {
    let mut rows = Rows(Vec::new());
    rows.add("process", process(record, target));
    if mark::has_mark(target).unwrap_or(false) {
        rows.add(
            "command",
            "none found: this is the init of a hold, which is not confined like its commands".to_owned(),
        );
    }
    for (kind, reading) in isolation.namespaces.iter() {
        rows.add(&format!("{} namespace", kind.option()), reading.shown(namespace));
    }
    identity(&isolation.ids, &mut rows);
    match &isolation.capabilities {
        Reading::Value(capabilities) => {
            let sets = capabilities.shown();
            sets.into_iter().for_each(|(name, set)| rows.add(&format!("{name} capabilities"), set));
        }
        hidden => rows.add("capabilities", hidden.shown(|_| String::new())),
    }
    confinement(isolation, &mut rows);
    match &isolation.cgroup {
        Reading::Value(group) => limits(group, &mut rows),
        hidden => rows.add("cgroup", hidden.shown(|_| String::new())),
    }
    files(isolation, &mut rows);
    let is_colored = is_colored();
    rows.aligned(is_colored) + &findings(isolation.findings.iter(), is_colored)
}

/// Returns whether stdout is a terminal that can show colors.
pub(super) fn is_colored() -> bool {
    let says_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !says_no
        && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb")
        && rustix::termios::isatty(rustix::stdio::stdout())
}

fn process(record: &Record, target: &Target) -> String {
    let comm = target.read("comm").unwrap_or_default();
    let comm = Text::from(comm.trim_end_matches('\n')).shown();
    let name = record.get::<Text>("name").ok().flatten().map_or_else(String::new, |name| format!(", {}", name.shown()));
    format!("{} ({comm}){name}", target.pid())
}

fn namespace(namespace: &Namespace) -> String {
    if namespace.host {
        return "the host's".to_owned();
    }
    let with = listed(&namespace.with, |sharer| format!("{} ({})", sharer.pid, sharer.comm.shown()));
    if namespace.with.total == 0 { "own".to_owned() } else { format!("own, shared with {}", with.join(", ")) }
}

fn identity(reading: &Reading<Ids>, rows: &mut Rows) {
    let Reading::Value(ids) = reading else {
        return rows.add("user and group", reading.shown(|_| String::new()));
    };
    let map = |map: &[[u64; 3]]| match map {
        [] => "none yet".to_owned(),
        map if ids.maps_all() && map.len() == 1 => "all ids, to themselves".to_owned(),
        map => {
            let range = |start: u64, count: u64| match count {
                1 => start.to_string(),
                _ => format!("{start}-{}", start.saturating_add(count).saturating_sub(1)),
            };
            let line = |[inside, outside, count]: &[u64; 3]| {
                format!("{} -> {}", range(*inside, *count), range(*outside, *count))
            };
            capped(map.iter().map(line).collect(), map.len()).join(", ")
        }
    };
    rows.add("user and group", format!("{} and {} outside", ids.uid, ids.gid));
    rows.add("uid map", map(&ids.uid_map));
    rows.add("gid map", map(&ids.gid_map));
    let root = ids.root_outside.map_or_else(|| "not mapped".to_owned(), |uid| format!("uid {uid} outside"));
    rows.add("root inside", root);
}

fn confinement(isolation: &Isolation, rows: &mut Rows) {
    let Reading::Value(confinement) = &isolation.confinement else {
        return rows.add("seccomp", isolation.confinement.shown(|_| String::new()));
    };
    let filters = confinement.seccomp_filters.filter(|filters| *filters > 0);
    let filters = filters.map_or_else(String::new, |filters| format!(", {filters} installed"));
    rows.add("seccomp", format!("{}{filters}", confinement.seccomp.unwrap_or("not in this kernel")));
    rows.add("no_new_privs", if confinement.no_new_privs { "on" } else { "off" });
    let label = |label: &Option<Text>| label.as_ref().map_or_else(|| "none".to_owned(), Text::shown);
    rows.add("security label", confinement.label.shown(label));
}

fn limits(group: &Group, rows: &mut Rows) {
    let usage = &group.usage;
    let path = |controller: &str| usage.cgroup.paths.get(controller).unwrap_or(&usage.cgroup.path).shown();
    let of = |current: Option<String>, max: String| match current {
        Some(current) => format!("{current}, {max}"),
        None => max,
    };
    let at_most = |max: Option<String>| max.map_or_else(|| "no limit".to_owned(), |max| format!("at most {max}"));
    let effective = |max: &Reading<Option<u64>>, unit: fn(u64) -> String| max.shown(|max| at_most(max.map(unit)));
    let memory = usage.memory.as_ref().map(|memory| bytes(memory.current));
    rows.add("memory", format!("{} ({})", of(memory, effective(&group.effective.memory, bytes)), path("memory")));
    let pids = usage.pids.as_ref().map(|pids| pids.current.to_string());
    rows.add(
        "processes",
        format!("{} ({})", of(pids, effective(&group.effective.pids, |max| max.to_string())), path("pids")),
    );
    if let Some(reason) = usage.unreadable.get("cpu") {
        return rows.add("cpu", format!("not readable: {reason}"));
    }
    let quota = usage.cgroup.limits.get("cpu.max").and_then(|limit| percent(limit.as_str()?));
    let used = usage.cpu.as_ref();
    let used = used.map(|cpu| format!("{}.{:02}s", cpu.usage_usec / 1_000_000, cpu.usage_usec / 10_000 % 100));
    rows.add("cpu", format!("{} ({})", of(used, at_most(quota)), path("cpu")));
}

fn files(isolation: &Isolation, rows: &mut Rows) {
    rows.add(
        "mounts",
        isolation.mounts.shown(|mounts| format!("{}, {} of the host", mounts.total, mounts.of_host.total)),
    );
    if let Reading::Value(Mounts { of_host, kernel_files, .. }) = &isolation.mounts {
        let shown = |mount: &super::mounts::OfHost| {
            let how = if mount.read_only { "ro" } else { "rw" };
            format!("{} <- {} ({} {how})", mount.point.shown(), mount.host.shown(), mount.fs_type)
        };
        listed(of_host, shown).into_iter().for_each(|mount| rows.add("", mount));
        let open = |state| {
            let files = kernel_files.shown.iter().filter(move |file| file.state == state);
            let files: Vec<_> = files.map(|file| file.path.shown()).collect();
            let count = files.len();
            capped(files, count).join(" ")
        };
        for state in ["writable", "readable"] {
            let files = open(state);
            rows.add(&format!("{state} kernel files"), if files.is_empty() { "none".to_owned() } else { files });
        }
    }
    let or_none = |entries: Vec<String>| if entries.is_empty() { "none".to_owned() } else { entries.join(", ") };
    let device = |device: &super::devices::Device| {
        format!("{} ({} {}:{})", device.name.shown(), device.kind, device.major, device.minor)
    };
    rows.add("additional devices", isolation.devices.shown(|devices| or_none(listed(devices, device))));
    let socket = |socket: &super::sockets::Socket| format!("{} {}", socket.protocol, socket.local.shown());
    rows.add("listening sockets", isolation.listening.shown(|sockets| or_none(listed(sockets, socket))));
    let leak = |leak: &super::descriptors::Leak| format!("{} -> {}", leak.descriptor, leak.path.shown());
    rows.add("open host directories", isolation.leaks.shown(|leaks| or_none(listed(leaks, leak))));
}

fn findings<'f>(findings: impl Iterator<Item = &'f Finding>, is_colored: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, color) = match finding.severity {
            Severity::Danger => ("DANGER", RED),
            Severity::Weakness => ("WEAKNESS", YELLOW),
        };
        let word = painted(&format!("{word:8}"), color, is_colored);
        let about = capped(finding.about.iter().map(Text::shown).collect(), finding.count.max(finding.about.len()));
        let about = if finding.about.is_empty() { String::new() } else { format!(": {}", about.join(" ")) };
        text.push_str(&format!("{word}  {}{about}\n          {}\n", finding.id, on_one_line(&finding.reason)));
    }
    if text.is_empty() { "\nno danger or weakness was found\n".to_owned() } else { format!("\n{text}") }
}

/// Returns the text in a color, if colors are used.
pub(super) fn painted(text: &str, color: &str, is_colored: bool) -> String {
    if is_colored { format!("{color}{text}{PLAIN}") } else { text.to_owned() }
}

/// Labels and texts.
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, label: &str, text: impl Display) {
        self.0.push((label.to_owned(), on_one_line(&text.to_string())));
    }

    fn aligned(&self, is_colored: bool) -> String {
        let width = self.0.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        let line = |(label, text): &(String, String)| {
            format!("{}  {text}\n", painted(&format!("{label:width$}"), BOLD, is_colored))
        };
        self.0.iter().map(line).collect()
    }
}

/// Returns as many texts as fit in a line, and the number of the others.
fn listed<T>(list: &List<T>, show: impl Fn(&T) -> String) -> Vec<String> {
    capped(list.shown.iter().map(show).collect(), list.total)
}

/// Returns at most sixteen of the texts, and the number of the others.
pub(super) fn capped(mut texts: Vec<String>, total: usize) -> Vec<String> {
    const MOST: usize = 16;
    texts.truncate(MOST);
    if total > texts.len() {
        texts.push(format!("and {} more", total - texts.len()));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_do_not_fit_are_counted() {
        assert_eq!(capped(vec!["a".into()], 1), ["a"]);
        assert_eq!(capped(vec!["a".into()], 100_000).last().unwrap(), "and 99999 more");
    }

    #[test]
    fn no_name_in_a_reason_controls_the_terminal() {
        let hidden = Reading::<u64>::Hidden { unreadable: "cannot open the cpu cgroup /a\x1b[2J\nb".to_owned() };
        let mut rows = Rows(Vec::new());
        rows.add("cpu", hidden.shown(u64::to_string));
        let escaped = "cannot open the cpu cgroup /a\\u{1b}[2J\\nb\n";
        assert_eq!(rows.aligned(false), format!("cpu  not readable: {escaped}"));
        let finding = Finding {
            severity: Severity::Weakness,
            id: "limit-not-readable",
            reason: "cannot open the cpu cgroup /a\x1b[2J\nb".into(),
            about: Vec::new(),
            count: 0,
        };
        assert!(findings([&finding].into_iter(), false).ends_with(escaped));
    }

    #[test]
    fn rows_are_aligned_and_without_colors_for_a_pipe() {
        let mut rows = Rows(Vec::new());
        rows.add("a", 1);
        rows.add("long", "x");
        assert_eq!(rows.aligned(false), "a     1\nlong  x\n");
        assert!(rows.aligned(true).contains("\x1b["));
    }
}
