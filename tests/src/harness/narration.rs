//! Compares the narration with strace's output: every line of `--explain` is followed by exactly the call that it names,
//! with every string and constant that it names, and no call that changes anything is missing in the narration.

use std::path::Path;

use crate::harness::notation::{Scanned, scan};
use crate::harness::trace::{Call, Process};

/// The five tools, whose lines begin with their names.
pub const TOOLS: [&str; 5] = ["unshare-rs", "cgexec-rs", "chroot-rs", "netns-rs", "nsenter-rs"];

/// The result of the comparison.
#[derive(Default)]
pub struct Verdict {
    /// The differences.
    pub complaints: Vec<String>,
    /// The names of the calls that were printed, made and found to be the same.
    pub agreed: Vec<String>,
}

/// Returns the call of a line of narration: `TOOL: CALL # why`.
pub fn narrated_call(line: &str) -> Option<&str> {
    let (tool, rest) = line.split_once(": ")?;
    let is_narration = TOOLS.contains(&tool) && rest.contains('(') && rest.contains(" # ");
    // A quoted string may contain the mark.
    let opening = rest.find('(').filter(|_| is_narration)?;
    let end = opening + 1 + scan(&rest[opening + 1..]).end;
    rest[end..].contains(" # ").then(|| rest[..=end.min(rest.len() - 1)].trim_end())
}

/// Returns the narrated calls of a run, from its stderr.
pub fn narrated_calls(stderr: &str) -> Vec<String> {
    stderr.lines().filter_map(narrated_call).map(str::to_owned).collect()
}

/// Lists the state-changing calls of a run that should make none, without the execve(2) that started the tool.
pub fn changes(processes: &[Process]) -> Vec<String> {
    let all = processes.iter().flat_map(|process| process.calls.iter().skip(usize::from(begins(process))));
    all.filter(|call| call.changes_state()).map(Call::to_string).collect()
}

/// Compares narration and calls for all processes of one run.
pub fn compare(processes: &[Process]) -> Verdict {
    let mut verdict = Verdict::default();
    let beginnings = processes.iter().filter(|process| begins(process)).count();
    if beginnings != 1 {
        verdict.complaints.push(format!("{beginnings} processes begin with an execve(2), but strace started one"));
    }
    for process in processes {
        compare_process(process, &mut verdict);
    }
    verdict
}

fn begins(process: &Process) -> bool {
    process.calls.first().is_some_and(|call| call.name == "execve")
}

fn compare_process(process: &Process, verdict: &mut Verdict) {
    let mut printed: Option<&str> = None;
    let mut complain = |text: String| verdict.complaints.push(format!("process {}: {text}", process.pid));
    for call in process.calls.iter().skip(usize::from(begins(process))) {
        if let Some(line) = call.printed().and_then(narrated_call) {
            if let Some(earlier) = printed.replace(line) {
                complain(format!("printed but not made: {earlier}"));
            }
        } else if call.changes_state() || printed.is_some_and(|line| line.starts_with(&format!("{}(", call.name))) {
            match printed.take() {
                None => complain(format!("made but not printed: {call}")),
                Some(line) => match difference(line, call) {
                    None => verdict.agreed.push(call.name.clone()),
                    Some(difference) => complain(format!("{difference}\n  printed: {line}\n  made: {call}")),
                },
            }
            if call.name == "execve" && call.succeeded() && !is_tool(call) {
                return; // From here on the command makes its own calls.
            }
        }
    }
    if let Some(line) = printed {
        complain(format!("printed but not made: {line}"));
    }
}

fn is_tool(call: &Call) -> bool {
    let name = call.strings.first().and_then(|path| Path::new(path).file_name()?.to_str());
    name.is_some_and(|name| TOOLS.contains(&name))
}

/// Describes how a printed call differs from the call that was made.
fn difference(printed: &str, made: &Call) -> Option<String> {
    let (name, arguments) = printed.split_once('(')?;
    if name != made.name {
        return Some(format!("{name} was printed, {} was made", made.name));
    }
    let printed = scan(arguments);
    match made.name.as_str() {
        "sendto" | "sendmsg" => different_message(&printed, made),
        _ => different_string(&printed, made)
            .or_else(|| different_constant(&printed, made))
            .or_else(|| different_place(arguments, made)),
    }
}

fn different_string(printed: &Scanned, made: &Call) -> Option<String> {
    let mut seen = made.strings.iter().chain(&made.descriptors).map(|text| anonymous(text));
    let missing = printed.strings.iter().find(|text| !seen.clone().any(|seen| seen == anonymous(text)));
    // At least as many strings as were printed: a list that was cut ends with an ellipsis.
    missing.map(|text| format!("{text:?} was not in it")).or_else(|| {
        let shown = printed.strings.len() == 1 && made.strings.len() == 1 && made.name == "write";
        (shown && seen.next().is_none()).then(|| "nothing was written".to_owned())
    })
}

/// Compares constants: every printed constant must be in the call, and every flag in the call must be printed.
fn different_constant(printed: &Scanned, made: &Call) -> Option<String> {
    let missing = printed.constants.iter().find(|word| !made.constants.contains(word));
    let is_flag = |word: &&String| {
        ["CLONE_", "MS_", "MNT_", "MOUNT_ATTR_", "OPEN_TREE_", "MOVE_MOUNT_"]
            .iter()
            .any(|start| word.starts_with(start))
    };
    let silent = ["MOVE_MOUNT_F_EMPTY_PATH", "MOVE_MOUNT_T_EMPTY_PATH", "OPEN_TREE_CLOEXEC", "MOUNT_ATTR_SIZE_VER0"];
    let extra = made
        .constants
        .iter()
        .filter(is_flag)
        .find(|word| !printed.constants.contains(word) && !silent.contains(&word.as_str()));
    missing
        .map(|word| format!("{word} was printed, but is not in the call"))
        .or_else(|| extra.map(|word| format!("{word} is in the call, but was not printed")))
}

/// Compares the places: `root:/proc` is printed for a descriptor of /proc in a new root.
fn different_place(arguments: &str, made: &Call) -> Option<String> {
    // For a process that hides, an unprivileged strace shows only numbers. Root's run compares the places.
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if made.descriptors.is_empty() && made.arguments.split(", ").any(is_number) {
        return None;
    }
    let places = arguments.split("root:").skip(1).filter_map(|rest| rest.split([',', ')']).next());
    let leads_to = |place: &str| made.descriptors.iter().any(|path| path.ends_with(place.trim_end_matches('/')));
    let missing = places.filter(|place| place.starts_with('/')).find(|place| !leads_to(place));
    missing.map(|place| format!("no descriptor led to {place}"))
}

/// Compares a netlink message. One that strace cannot decode (see [`Call::messages`]) is compared by its type, and by its
/// strings among its bytes.
fn different_message(printed: &Scanned, made: &Call) -> Option<String> {
    let messages = made.messages();
    let bytes = made.strings.concat();
    let is_type = |word: &&String| word.starts_with("RTM_") || word.starts_with("NFT_MSG_");
    let missing_type = printed
        .constants
        .iter()
        .filter(is_type)
        .find(|word| !messages.iter().any(|message| message.name().ends_with(word.as_str())));
    let is_decoded = !made.arguments.contains("NLMSG_???");
    let is_address = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let missing_text = printed.strings.iter().find(|text| {
        let is_there = if is_decoded { made.arguments.contains(text.as_str()) } else { bytes.contains(text.as_str()) };
        !(is_there || !is_decoded && is_address(text))
    });
    missing_type
        .map(|word| format!("{word} was printed, but is not in the call"))
        .or_else(|| missing_text.map(|text| format!("{text:?} is not in the call")))
}

/// Replaces the pid: `/proc/self` and `/proc/PID` are the same, also in another pid namespace.
fn anonymous(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/proc/") else { return path.to_owned() };
    match rest.split_once('/') {
        Some((process, file)) if process == "self" || process.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("/proc/self/{file}")
        }
        _ => path.to_owned(),
    }
}
