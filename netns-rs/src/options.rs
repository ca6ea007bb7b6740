//! The declared options: parser, help, manual page and completions come from this table.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::{Args, Parser, Subcommand};
use plumbing::command_line::manual::after_help;
use plumbing::command_line::options::{Narration, of_os};
use plumbing::command_line::ordinary::{self, Choice, Ordinary};

use crate::interface;
use crate::name::Name;
use crate::publish::Published;
use crate::subject::Subject;
use crate::who::Word;

mod top;
mod wiring;

pub(crate) use top::Top;
pub(crate) use wiring::Wiring;

const EXAMPLES: &str = "
  netns-rs exec --new -- ip link                    a namespace with only a loopback interface
  netns-rs exec --new --bridge box0 --address 10.88.0.2/24 --gateway 10.88.0.1 --nat -- bash
  netns-rs exec --new --bridge box0 --address 10.88.0.3/24 --gateway 10.88.0.1 --nat --publish 8080:80 -- httpd -f
  netns-rs exec --new --reach 127.0.0.1:3128 -- make   one port of 127.0.0.1 leads outside, and nothing else
  netns-rs connect web --bridge box0 --address auto:10.88.0.0/24 --nat; netns-rs disconnect web
  unshare-rs --user --map-root-user -- netns-rs exec --new --pasta -- curl https://kernel.org
  netns-rs exec --new --cni podman --publish 8080:80 -- httpd -f    a network of /etc/cni/net.d
  … | netns-rs connect --pipe --bridge box0 --address 10.88.0.2/24 | …
  netns-rs map; netns-rs who veth1a2b3c4d; netns-rs who 10.88.0.7; netns-rs who :8080
  netns-rs top                                      traffic and drops of each container, refreshed every 2 s
  netns-rs doctor web                               what is missing, each with the command that mends it
  netns-rs show $(pidof nginx)                      interfaces, addresses and peers
  netns-rs add web; netns-rs exec web ip address; netns-rs delete web
  netns-rs attach shell $$                          a name for the network of a process
  netns-rs -json list; netns-rs -all exec ip link   as with ip netns
";

/// Run commands in network namespaces, and name, connect and show them
#[derive(Debug, Default, Parser, Ordinary)]
#[command(
    name = "netns-rs",
    version,
    mut_arg("explain", |arg| arg.global(true)),
    mut_arg("dry_run", |arg| arg.global(true)),
    mut_arg("error_fd", |arg| arg.global(true)),
    after_help = after_help(EXAMPLES)
)]
pub struct Options {
    #[command(flatten)]
    pub(crate) narration: Narration,
    /// Network namespace in which to work, as `ip -n` does
    #[arg(long, short, value_name = "NAME", value_parser = of_os(Subject::parse))]
    pub(crate) netns: Option<Subject>,
    /// Run the command lines of FILE, one on each line, as `ip -batch` does; -: those of stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) batch: Option<PathBuf>,
    /// With --batch: continue after a line that fails
    #[arg(long, requires = "batch")]
    pub(crate) force: bool,
    /// With --batch: print JSON
    #[arg(long, requires = "batch")]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// The subcommand; without one, list.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command in a named or (with --new) a new network namespace
    Exec(Exec),
    /// Create a named network namespace
    Add(Named),
    /// Give a name to the network namespace of a process
    Attach(Attach),
    /// Remove a name; the network namespace ends when nothing uses it
    #[command(visible_alias = "del")]
    Delete(Delete),
    /// Assign an id to a named network namespace
    Set(Set),
    /// Print the names of a process's network namespace
    Identify(Identify),
    /// Print the processes in a named network namespace
    Pids(Pids),
    /// Print names as they are created and removed
    Monitor(Json),
    /// List the ids of network namespaces: [target-nsid N] [nsid N]
    ListId(ListId),
    /// List the named network namespaces
    #[command(visible_alias = "ls")]
    List(Json),
    /// Connect a network namespace, or the container of a record, to a bridge on the host
    Connect(Connect),
    /// Remove an interface that connect made, with everything on the host that belongs to it
    Disconnect(Disconnect),
    /// Show the interfaces of a network namespace, and their peers
    Show(Show),
    /// Show all network namespaces, with their interfaces, processes and ports, and what is connected to what
    Map(Map),
    /// Show the namespace, container and processes behind an interface, an address, :PORT, a name or a pid
    Who(Who),
    /// Show traffic and drops of each network namespace, again and again; keys change the order
    Top(Top),
    /// Examine why a network namespace does not reach others, and print the command that mends each finding
    Doctor(Doctor),
    /// Remove from the host what is left of containers whose guardian was killed
    Gc(Json),
}

/// The subcommands that a script often uses.
impl Choice for Verb {
    fn choose(words: &[OsString]) -> Option<Verb> {
        Some(match words.first()?.to_str()? {
            "exec" => Verb::Exec(ordinary::read(words)?),
            "connect" => Verb::Connect(ordinary::read(words)?),
            "list" => Verb::List(ordinary::read(words)?),
            "show" => Verb::Show(ordinary::read(words)?),
            _ => return None,
        })
    }
}

#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct Exec {
    /// Run the command in a new network namespace, which ends with its last process
    #[arg(long)]
    pub(crate) new: bool,
    /// Run the command in each named network namespace, one after the other
    #[arg(long, conflicts_with = "new")]
    pub(crate) all: bool,
    /// Mount the files of /etc/netns/NAME over those of /etc, and a new /sys, as `ip netns exec` does
    #[arg(long, conflicts_with = "new")]
    pub(crate) etc: bool,
    /// Name of the namespace (not with --new or --all), then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "[NAME] COMMAND")]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    pub(crate) wiring: Wiring,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name of the namespace, a file in /run/netns
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Name of the namespace, a file in /run/netns
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// Process in the network namespace
    #[arg(value_name = "PID", value_parser = pid)]
    pub(crate) pid: i32,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Remove all names
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    /// Name of the namespace
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub(crate) name: Option<Name>,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name of the namespace
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// Its id in this network namespace; auto: the kernel chooses one
    #[arg(value_name = "ID", value_parser = id, allow_hyphen_values = true)]
    pub(crate) id: Id,
}

#[derive(Debug, Args)]
pub(crate) struct Identify {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Process, default: this one
    #[arg(value_name = "PID", value_parser = pid)]
    pub(crate) pid: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct Pids {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Name of the namespace
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

#[derive(Debug, Args)]
pub(crate) struct ListId {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// nsid N: only this id; target-nsid N: the ids in the network namespace with this id
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

/// The id of a network namespace; `None`: the kernel chooses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) Option<i32>);

fn id(text: &str) -> Result<Id, String> {
    if text == "auto" { Ok(Id(None)) } else { number(text).map(|id| Id(Some(id))) }
}

/// Parses an id.
pub(crate) fn number(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|id| *id >= 0).ok_or_else(|| "expected a number, 0 or greater".to_owned())
}

fn pid(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| "expected the number of a process".to_owned())
}

#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
}

#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct Connect {
    /// Read the container's record from stdin, and pass it on with the new connection
    #[arg(long, conflicts_with = "subject")]
    pub(crate) pipe: bool,
    /// Change --rate, --delay, --jitter or --loss of a connection, also of an engine's, or --publish of one of ours
    #[arg(long, conflicts_with = "pipe")]
    pub(crate) change: bool,
    /// With --change: stop publishing this port, written as for --publish (repeatable)
    #[arg(long, value_name = "PORTS", value_parser = Published::parse, requires = "change")]
    pub(crate) unpublish: Vec<Published>,
    /// Keep an unfinished container when this stage fails
    #[arg(long, requires = "pipe")]
    pub(crate) keep_on_error: bool,
    /// Network namespace: its name, a pid, pid:N, a path, or the name of a container (without --pipe)
    #[arg(value_name = "NAMESPACE", value_parser = of_os(Subject::parse))]
    pub(crate) subject: Option<Subject>,
    #[command(flatten)]
    pub(crate) wiring: Wiring,
}

#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// Network namespace: its name, a pid, pid:N, a path, or the name of a container
    #[arg(value_name = "NAMESPACE", value_parser = of_os(Subject::parse))]
    pub(crate) subject: Subject,
    /// Name of the interface inside [default: eth0]
    #[arg(long, value_name = "NAME", value_parser = interface::interface_name)]
    pub(crate) interface: Option<String>,
}

#[derive(Debug, Default, Args, Ordinary)]
pub(crate) struct Show {
    /// Read container records from stdin, and pass each on with its interfaces
    #[arg(long, conflicts_with_all = ["subject", "json"])]
    pub(crate) pipe: bool,
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Name, pid, pid:N, path of a namespace, or . for the current one; without: list the names
    #[arg(value_name = "NAMESPACE", value_parser = of_os(Subject::parse))]
    pub(crate) subject: Option<Subject>,
}

#[derive(Debug, Args)]
pub(crate) struct Map {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Print a graph for dot(1)
    #[arg(long, conflicts_with = "json")]
    pub(crate) dot: bool,
    /// Print a picture
    #[arg(long, conflicts_with_all = ["json", "dot"])]
    pub(crate) svg: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Who {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Interface, address, :PORT, name of a container, namespace or process, or pid
    #[arg(value_name = "WORD", value_parser = Word::parse)]
    pub(crate) word: Word,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long, short)]
    pub(crate) json: bool,
    /// Name, pid, pid:N or path of a namespace, name of a container, or . for the current one
    #[arg(value_name = "NAMESPACE", value_parser = of_os(Subject::parse))]
    pub(crate) subject: Subject,
}

/// Returns the command line, for help, manual page and completions.
pub fn command() -> clap::Command {
    plumbing::command_line::options::command::<Options>()
}

/// Parses names from an `OsStr`, since names are bytes.
#[derive(Debug, Clone)]
pub struct NameParser;

impl TypedValueParser for NameParser {
    type Value = Name;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let read = |text: &str| Name::parse(OsStr::new(text));
        match value.to_str() {
            Some(_) => TypedValueParser::parse_ref(&read, command, arg, value),
            None => Name::parse(value).map_err(|why| clap::Error::raw(clap::error::ErrorKind::InvalidValue, why)),
        }
    }
}

impl ValueParserFactory for Name {
    type Parser = NameParser;

    fn value_parser() -> NameParser {
        NameParser
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_common_line_is_not_left_to_clap() {
        let lines = [
            "netns-rs exec blue true",
            "netns-rs exec --new --bridge box0 --address 10.88.0.2/24 --gateway 10.88.0.1 --nat -- sh",
            "netns-rs connect --pipe --bridge box0 --address 10.88.0.2/24",
            "netns-rs show --pipe",
        ];
        assert_eq!(plumbing::command_line::ordinary::left_to_clap::<super::Options>(&lines), [""; 0]);
    }

    #[test]
    fn the_short_way_reads_what_clap_reads() {
        let read = plumbing::command_line::ordinary::disagreement::<super::Options>();
        assert!(read.clone().is_ok_and(|lines| lines > 300), "{read:?}");
    }
}
