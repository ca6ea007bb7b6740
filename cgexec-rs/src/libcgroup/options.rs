//! The options of libcgroup's tools, under their names, as tables. `-b` and `--sticky` are read and change nothing: there is
//! no default scope of systemd to leave aside, and no cgrulesengd(8) whose rules could move a process back.
//!
//! Tables, and no type for each tool: the code that a type needs to be read would be a tenth of this program.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches};
use plumbing::Fault;

use super::convert::Notation;
use super::create::{self, Owner};
use super::get::{self, Wanted};
use super::set::{self, Assignment};
use super::{Request, classify, delete, list, snapshot};
use crate::existing::Existing;

/// One of libcgroup's tools.
pub(super) struct Tool {
    name: &'static str,
    about: &'static str,
    options: &'static [Opt],
    /// What follows the options: the name of a value, its help, and whether it is the rest of the line.
    operands: Option<(&'static str, &'static str, bool)>,
    request: fn(&Line) -> Result<Request, Fault>,
}

/// An option: its letter, its long names, the name of its value if it has one (such an option may be repeated), its help. An
/// option without a letter has its long name twice.
type Opt = (&'static str, &'static [&'static str], &'static str, &'static str);

/// Without it, the rules of cgrules.conf(5) apply.
const GROUP_OR_RULE: Opt =
    ("g", &[], GROUP.2, "Cgroup: memory,pids:PATH, *:PATH or :PATH; default: as cgrules.conf says");
const GROUP: Opt = ("g", &[], "CONTROLLERS:PATH", "Cgroup: memory,pids:PATH, *:PATH or :PATH (cgroup v2) (repeatable)");
const IGNORED: Opt = ("b", &[], "", "Accepted; there is no default scope");
const STICKY: Opt = ("s", &["sticky"], "", "Accepted; it concerns the daemon cgrulesengd");
const IDLE: Opt = ("r", &[], "", "End the idle process that keeps a scope of cgcreate -c alive");
const V1: Opt = ("1", &["v1"], "", "The names and values are those of v1");
const V2: Opt = ("2", &["v2"], "", "The names and values are those of v2");
const UNMAPPABLE: Opt = ("i", &["ignore-unmappable"], "", "Leave out what the other version does not have");

const RULE: Opt = ("r", &["rule", "variable"], "NAME=VALUE", "Parameter and its value (repeatable)");
const COPY: Opt = ("copy-from", &["copy-from"], "PATH", "Cgroup whose parameters are copied");
const RECURSIVE: Opt = ("R", &[], "", "Set them in all groups below, too");

const VARIABLE: Opt = ("r", &["variable"], "NAME", "Parameter to print (repeatable)");
const OF: Opt = ("g", &[], "CONTROLLERS[:PATH]", "Controllers to print for the PATHs, or one group (repeatable)");
const ALL: Opt = ("a", &["all"], "", "Print the parameters of all controllers");
const BARE: Opt = ("n", &[], "", "Print no line with the group's path");
const VALUES: Opt = ("v", &["values-only"], "", "Print values without names");
const MODE: Opt = ("m", &[], "", "Print which versions of cgroups this machine has");
const VERSIONS: Opt = ("c", &[], "", "Print each controller with its version");

const PATHS: Option<(&str, &str, bool)> = Some(("PATH", "Cgroups", false));
const MORE: Option<(&str, &str, bool)> = Some(("CONTROLLERS:PATH", "Cgroups, as with -g", false));

/// The tools.
pub(super) const TOOLS: [Tool; 11] = [
    Tool {
        name: "cgexec",
        about: "Run a command in existing cgroups",
        options: &[GROUP_OR_RULE, STICKY, IDLE, IGNORED],
        operands: Some(("COMMAND", "Command and its arguments", true)),
        request: exec,
    },
    Tool {
        name: "cgcreate",
        about: "Make cgroups, with those above them",
        options: &[
            GROUP,
            ("a", &["admin"], "USER:GROUP", "Owner of the group and of its files"),
            ("t", &["task"], "USER:GROUP", "Owner of the list of members"),
            ("d", &["dperm"], "MODE", "Mode of the group, in octal"),
            ("f", &["fperm"], "MODE", "Mode of its files, in octal"),
            ("s", &["tperm"], "MODE", "Mode of the list of members, in octal"),
            IGNORED,
        ],
        operands: None,
        request: create,
    },
    Tool {
        name: "cgset",
        about: "Set parameters of cgroups",
        options: &[RULE, COPY, RECURSIVE, IGNORED],
        operands: PATHS,
        request: set,
    },
    Tool {
        name: "cgxset",
        about: "Set parameters of cgroups, in the notation of v1 or v2",
        options: &[V1, V2, UNMAPPABLE, RULE, COPY, RECURSIVE, IGNORED],
        operands: PATHS,
        request: set,
    },
    Tool {
        name: "cgget",
        about: "Print parameters of cgroups",
        options: &[VARIABLE, OF, ALL, BARE, VALUES, MODE, VERSIONS, IGNORED],
        operands: PATHS,
        request: get,
    },
    Tool {
        name: "cgxget",
        about: "Print parameters of cgroups, in the notation of v1 or v2",
        options: &[V1, V2, UNMAPPABLE, VARIABLE, OF, ALL, BARE, VALUES, MODE, VERSIONS, IGNORED],
        operands: PATHS,
        request: get,
    },
    Tool {
        name: "cgclassify",
        about: "Move running processes into cgroups",
        options: &[
            GROUP_OR_RULE,
            STICKY,
            ("u", &["cancel-sticky"], "", "Accepted; it concerns the daemon cgrulesengd"),
            IDLE,
            IGNORED,
        ],
        operands: Some(("PID", "Processes", false)),
        request: classify,
    },
    Tool {
        name: "cgdelete",
        about: "Remove cgroups; on v1 their processes move to the group above",
        options: &[GROUP, ("r", &["recursive"], "", "Remove the groups in it, too"), IGNORED],
        operands: MORE,
        request: delete,
    },
    Tool {
        name: "lscgroup",
        about: "List cgroups; without one, all",
        options: &[("g", &["group"], GROUP.2, GROUP.3), IGNORED],
        operands: MORE,
        request: list_groups,
    },
    Tool {
        name: "lssubsys",
        about: "List controllers and where they are mounted",
        options: &[
            ("a", &["all"], "", "List controllers that are not mounted, too"),
            ("i", &["hierarchies"], "", "Print the number of the hierarchy"),
            ("m", &["mount-points"], "", "Print the first mount point"),
            ("M", &["all-mount-points"], "", "Print all mount points"),
        ],
        operands: Some(("CONTROLLER", "Controllers; default: all that are mounted", false)),
        request: list_controllers,
    },
    Tool {
        name: "cgsnapshot",
        about: "Print the cgroups of this machine as a cgconfig.conf(5)",
        options: &[
            ("b", &["denylist", "blacklist"], "FILE", "Names of parameters that are left out, one a line"),
            ("w", &["allowlist", "whitelist"], "FILE", "Names of parameters that are printed, one a line"),
            ("f", &["file"], "FILE", "Write to FILE instead of stdout"),
            ("s", &["silent"], "", "Print no warnings"),
            ("t", &["strict"], "", "Leave out what the file of -w does not name"),
        ],
        operands: Some(("CONTROLLER", "Controllers; default: all", false)),
        request: snapshot,
    },
];

const OPERANDS: &str = "operands";

impl Tool {
    /// Returns the tool of this name.
    pub(super) fn named(name: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    /// Returns its command line.
    pub(super) fn command(&self) -> clap::Command {
        let command = clap::Command::new(self.name)
            .display_name("cgexec-rs")
            .version(env!("CARGO_PKG_VERSION"))
            .about(format!("{}; cgexec-rs, called by the name {}", self.about, self.name))
            .args(self.options.iter().map(argument));
        match self.operands {
            None => command,
            Some((value, help, is_rest)) => command.arg(
                Arg::new(OPERANDS)
                    .value_name(value)
                    .help(help)
                    .num_args(0..)
                    .trailing_var_arg(is_rest)
                    .value_parser(OsStringValueParser::new()),
            ),
        }
    }

    /// Returns what a command line asks for.
    pub(super) fn request(&'static self, matches: ArgMatches) -> Result<Request, Fault> {
        (self.request)(&Line { options: self.options, matches })
    }
}

fn argument((letter, long, value, help): &'static Opt) -> Arg {
    let arg = Arg::new(*letter).help(*help);
    let arg = if letter.len() == 1 { arg.short(letter.chars().next()) } else { arg };
    let arg = match long {
        [] => arg,
        [name, aliases @ ..] => arg.long(*name).aliases(aliases.iter().copied()),
    };
    if value.is_empty() {
        arg.action(ArgAction::SetTrue)
    } else {
        arg.action(ArgAction::Append).value_name(*value).value_parser(OsStringValueParser::new())
    }
}

/// A command line that was read.
pub(super) struct Line {
    options: &'static [Opt],
    matches: ArgMatches,
}

impl Line {
    fn has(&self, letter: &str) -> bool {
        self.options.iter().any(|option| option.0 == letter) && self.matches.get_flag(letter)
    }

    fn values(&self, letter: &str) -> Vec<&OsString> {
        self.matches.get_many::<OsString>(letter).into_iter().flatten().collect()
    }

    /// Returns the last value of an option, read by `read`.
    fn value<T>(&self, letter: &str, read: impl Fn(&OsStr) -> Result<T, String>) -> Result<Option<T>, Fault> {
        self.values(letter).last().map(|word| read_value(letter, word, &read)).transpose()
    }

    fn operands(&self) -> Vec<&OsString> {
        self.matches.get_many::<OsString>(OPERANDS).into_iter().flatten().collect()
    }

    fn words(&self) -> Vec<String> {
        self.operands().iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    /// Reads the values of `-g`, of which there must be one.
    fn groups(&self) -> Result<Vec<Existing>, Fault> {
        let groups = self.named_groups(Vec::new())?;
        if groups.is_empty() {
            return Err(Fault::usage("a cgroup is missing: -g CONTROLLERS:PATH"));
        }
        Ok(groups)
    }

    fn named_groups(&self, more: Vec<&OsString>) -> Result<Vec<Existing>, Fault> {
        self.values("g").into_iter().chain(more).map(|word| Existing::parse(word)).collect()
    }

    fn notation(&self) -> Result<Notation, Fault> {
        let version = match (self.has("1"), self.has("2")) {
            (true, true) => return Err(Fault::usage("-1 and -2 exclude each other")),
            (true, false) => Some(1),
            (false, true) => Some(2),
            (false, false) => None,
        };
        Ok(Notation { version, ignore_unmappable: self.has("i") })
    }

    fn paths(&self) -> Result<Vec<Existing>, Fault> {
        self.operands().into_iter().map(|path| Existing::of_mount(path)).collect()
    }
}

fn read_value<T>(letter: &str, word: &OsStr, read: impl Fn(&OsStr) -> Result<T, String>) -> Result<T, Fault> {
    let shown = word.to_string_lossy().escape_debug().to_string();
    read(word).map_err(|wrong| Fault::usage(format!("invalid value '{shown}' for '-{letter}': {wrong}")))
}

fn file(word: &OsStr) -> Result<PathBuf, String> {
    Ok(PathBuf::from(word))
}

fn exec(line: &Line) -> Result<Request, Fault> {
    let command: Vec<OsString> = line.operands().into_iter().cloned().collect();
    if command.is_empty() {
        return Err(Fault::usage("a command is missing"));
    }
    Ok(Request::Exec { groups: line.named_groups(Vec::new())?, replace_idle: line.has("r"), command })
}

fn create(line: &Line) -> Result<Request, Fault> {
    let owner = |letter| line.value(letter, Owner::read);
    let mode = |letter| line.value(letter, create::mode);
    Ok(Request::Create(create::Create {
        groups: line.groups()?,
        admin: owner("a")?,
        task: owner("t")?,
        dperm: mode("d")?,
        fperm: mode("f")?,
        tperm: mode("s")?,
    }))
}

fn set(line: &Line) -> Result<Request, Fault> {
    let assignments: Vec<_> =
        line.values("r").into_iter().map(|word| read_value("r", word, Assignment::read)).collect::<Result<_, _>>()?;
    let copy_from = line.values("copy-from").last().map(|path| Existing::of_mount(path)).transpose()?;
    if assignments.is_empty() == copy_from.is_none() {
        return Err(Fault::usage("expected either -r NAME=VALUE or --copy-from PATH"));
    }
    let (paths, recursive) = (line.paths()?, line.has("R"));
    match (paths.is_empty(), recursive && copy_from.is_some()) {
        (true, _) => Err(Fault::usage("a cgroup is missing: PATH")),
        (_, true) => Err(Fault::usage("-R needs -r NAME=VALUE")),
        _ => Ok(Request::Set(set::Set { assignments, copy_from, recursive, paths, notation: line.notation()? })),
    }
}

fn get(line: &Line) -> Result<Request, Fault> {
    let variables: Vec<_> = line.values("r").iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let specs = line.values("g");
    let kinds = [!variables.is_empty(), !specs.is_empty() || line.has("a"), line.has("m"), line.has("c")];
    if kinds.into_iter().filter(|is_given| *is_given).count() > 1 {
        return Err(Fault::usage("-r, -g (or -a), -m and -c exclude each other"));
    }
    let wanted = match () {
        () if line.has("m") => Wanted::Mode,
        () if line.has("c") => Wanted::Versions,
        () => Wanted::Parameters(get::groups(&line.operands(), &specs, &variables)?),
    };
    let style = get::Style { headers: !line.has("n"), names: !line.has("v") };
    Ok(Request::Get(get::Get { wanted, style, notation: line.notation()? }))
}

fn classify(line: &Line) -> Result<Request, Fault> {
    let (groups, replace_idle, pids) = (line.named_groups(Vec::new())?, line.has("r"), line.words());
    if groups.is_empty() && pids.is_empty() {
        return Err(Fault::usage("a process is missing: PID"));
    }
    Ok(Request::Classify(classify::Classify { groups, replace_idle, pids }))
}

fn delete(line: &Line) -> Result<Request, Fault> {
    let groups = line.named_groups(line.operands())?;
    if groups.is_empty() {
        return Err(Fault::usage("a cgroup is missing: CONTROLLERS:PATH"));
    }
    Ok(Request::Delete(delete::Delete { groups, recursive: line.has("r") }))
}

fn list_groups(line: &Line) -> Result<Request, Fault> {
    Ok(Request::ListGroups(line.named_groups(line.operands())?))
}

fn list_controllers(line: &Line) -> Result<Request, Fault> {
    let mounts = match (line.has("M"), line.has("m")) {
        (true, _) => list::Mounts::All,
        (false, true) => list::Mounts::First,
        (false, false) => list::Mounts::None,
    };
    let (all, numbers, named) = (line.has("a"), line.has("i"), line.words());
    Ok(Request::ListControllers(list::Controllers { all, numbers, mounts, named }))
}

fn snapshot(line: &Line) -> Result<Request, Fault> {
    let (deny, allow, output) = (line.value("b", file)?, line.value("w", file)?, line.value("f", file)?);
    let (silent, strict, controllers) = (line.has("s"), line.has("t"), line.words());
    if strict && allow.is_none() {
        return Err(Fault::usage("-t needs -w FILE"));
    }
    Ok(Request::Snapshot(snapshot::Snapshot { deny, allow, file: output, silent, strict, controllers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_makes_a_command_line() {
        for tool in &TOOLS {
            tool.command().debug_assert();
        }
        assert!(Tool::named("cgget").is_some() && Tool::named("cgrulesengd").is_none());
    }
}
