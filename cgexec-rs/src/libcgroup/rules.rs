//! The rules of cgrules.conf, by which `cgexec` and `cgclassify` without `-g` find the groups of a process.
//! `cgrules.conf(5)`.
//!
//! The first rule that matches decides, and the lines after it that begin with `%`. The surprise: which letter is a name and
//! which a number differs between libcgroup's manual page and its code; this follows the code: `%u`, `%g` and `%p` are
//! names, `%U`, `%G` and `%P` numbers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use plumbing::cgroup::hierarchy::Hierarchies;
use plumbing::cgroup::usage::Member;
use plumbing::command_line::regular;
use plumbing::kernel::look;
use plumbing::process::accounts;
use plumbing::{Fault, Status, narrate};

use super::{create, with_status};
use crate::existing::{self, Existing};

const FILE: &str = "/etc/cgrules.conf";
/// Its files are read after that one.
const DIRECTORY: &str = "/etc/cgrules.d";
/// The longest file that is read.
const LONGEST: u64 = 16 << 20;
/// Modulo 256: the rules cannot be read, `ECGRULESPARSEFAIL`.
const NO_RULES: Status = Status(99);

/// The process to move.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: i32,
    /// The names by which a rule may mean it; the first one replaces `%p`.
    pub(super) names: Vec<Vec<u8>>,
}

/// The users and groups of the machine.
#[derive(Debug, Default)]
struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

/// Where a process is put.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    controllers: Vec<u8>,
    destination: Vec<u8>,
}

/// Opens the groups in which the rules put a process; makes those whose name contains something of the process.
pub(super) fn groups(process: &Process) -> Result<Vec<Member>, Fault> {
    let accounts = Accounts { passwd: table("/etc/passwd")?, group: table("/etc/group")? };
    let hierarchies = Hierarchies::discover()?;
    let mut members = Vec::new();
    for Rule { controllers, destination } in read(process, &accounts)? {
        let path = process.expand(&destination, &accounts);
        let shown = String::from_utf8_lossy(&path).escape_debug().to_string();
        let below: PathBuf = OsStr::from_bytes(&path).into();
        // Names come from other people, and must not lead to another group.
        if !below.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir)) {
            return Err(Fault::new(format!("cannot apply a rule of {FILE}: {shown} is no path of a group")));
        }
        let word = OsString::from_vec([&controllers[..], b":", &path].concat());
        let groups = [Existing::parse(&word).map_err(|fault| fault.with_status(NO_RULES))?];
        if path != destination {
            create::make_all(&groups, &hierarchies).map_err(with_status)?;
        }
        members.extend(existing::open(&groups, &hierarchies).map_err(with_status)?);
    }
    Ok(members)
}

fn table(path: &str) -> Result<Vec<u8>, Fault> {
    regular::read(Path::new(path), LONGEST).map(Option::unwrap_or_default)
}

/// Reads the rules for a process: of the first file that has some.
fn read(process: &Process, accounts: &Accounts) -> Result<Vec<Rule>, Fault> {
    let first = regular::read(Path::new(FILE), LONGEST)?;
    let missing = || Fault::new(format!("cannot find the cgroup: without -g, {FILE} is needed")).with_status(NO_RULES);
    let mut files = vec![(PathBuf::from(FILE), first.ok_or_else(missing)?)];
    for path in more()? {
        files.extend(regular::read(&path, LONGEST)?.map(|text| (path, text)));
    }
    for (path, text) in files {
        let wrong = |(line, why)| Fault::new(format!("cannot read line {line} of {}: {why}", path.display()));
        if let Some(rules) = parse(&text, process, accounts).map_err(|it| wrong(it).with_status(NO_RULES))? {
            return Ok(rules);
        }
    }
    Ok(Vec::new())
}

/// Returns the files of the directory in the order of their names.
fn more() -> Result<Vec<PathBuf>, Fault> {
    let listed = std::fs::read_dir(DIRECTORY)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = match listed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => look(format!("list {DIRECTORY}"), format!("getdents({DIRECTORY:?})"), || listed)?,
    };
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// Returns the first rule that matches with those that continue it; none for a process that is to be left alone.
fn parse(text: &[u8], process: &Process, accounts: &Accounts) -> Result<Option<Vec<Rule>>, (usize, String)> {
    let mut found: Option<Vec<Rule>> = None;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |why: &str| (number + 1, why.to_owned());
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let fields = fields(line).ok_or_else(|| wrong("a quote has no end"))?;
        let Some(who) = fields.first() else { continue };
        let [_, controllers, destination, options @ ..] = &fields[..] else {
            return Err(wrong("expected USER[:PROCESS] CONTROLLERS DESTINATION [OPTIONS]"));
        };
        let continues = who.starts_with(b"%");
        match (&found, continues) {
            (Some(_), false) => break,
            (None, true) => continue,
            (None, false) if !process.is(who, accounts, number + 1) => continue,
            _ => {}
        }
        let words = options.first().map_or(&b""[..], Vec::as_slice).split(|byte| *byte == b',');
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        if words.iter().any(|word| !matches!(*word, b"ignore" | b"ignore_rt")) {
            return Err(wrong("the only options are ignore and ignore_rt"));
        }
        if found.is_none() && !words.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let rule = Rule { controllers: controllers.clone(), destination: destination.clone() };
        found.get_or_insert_default().push(rule);
    }
    Ok(found)
}

/// Returns the words of a line; a word in quotes may contain blanks. `None` if a quote has no end.
fn fields(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let mut fields = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|byte| *byte == b'"')?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => rest.split_at(rest.iter().position(is_blank).unwrap_or(rest.len())),
        };
        fields.push(field.to_vec());
        rest = after.trim_ascii_start();
    }
    Some(fields)
}

impl Process {
    /// Returns whether `USER`, `@GROUP` or `*`, with an optional `:PROCESS`, means this process.
    fn is(&self, who: &[u8], accounts: &Accounts, line: usize) -> bool {
        let colon = who.iter().position(|byte| *byte == b':');
        let (user, name) = colon.map_or((who, None), |colon| (&who[..colon], Some(&who[colon + 1..])));
        let is_known = |id: Option<u32>| {
            if id.is_none() {
                let user = String::from_utf8_lossy(user).escape_debug().to_string();
                narrate::remark(format_args!("line {line} of the rules is left out: {user} is unknown"));
            }
            id
        };
        let is_user = match user {
            [b'*', ..] => true,
            [b'@', group @ ..] => is_known(accounts::id_of(&accounts.group, group))
                .is_some_and(|gid| gid == self.gid || accounts.has_member(group, self.uid)),
            user => is_known(accounts::id_of(&accounts.passwd, user)) == Some(self.uid),
        };
        is_user && name.is_none_or(|name| name.is_empty() || self.names.iter().any(|known| known == name))
    }

    /// Replaces `%u` and the like in the path of a group.
    fn expand(&self, destination: &[u8], accounts: &Accounts) -> Vec<u8> {
        let number = |id: u32| id.to_string().into_bytes();
        let named = |table: &[u8], id| accounts::field(table, id, 0).map_or_else(|| number(id), <[u8]>::to_vec);
        let mut path = Vec::new();
        let mut rest = destination.iter();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => match rest.next() {
                    Some(b'u') => path.extend(named(&accounts.passwd, self.uid)),
                    Some(b'U') => path.extend(number(self.uid)),
                    Some(b'g') => path.extend(named(&accounts.group, self.gid)),
                    Some(b'G') => path.extend(number(self.gid)),
                    Some(b'p') => {
                        path.extend(self.names.first().cloned().unwrap_or_else(|| number(self.pid.cast_unsigned())))
                    }
                    Some(b'P') => path.extend(number(self.pid.cast_unsigned())),
                    other => path.extend(std::iter::once(&b'%').chain(other)),
                },
                b'\\' => path.extend(rest.next()),
                byte => path.push(*byte),
            }
        }
        path
    }
}

impl Accounts {
    fn has_member(&self, group: &[u8], uid: u32) -> bool {
        let Some(user) = accounts::field(&self.passwd, uid, 0) else { return false };
        let mut lines = accounts::entries(&self.group).filter(|fields| fields[0] == group);
        lines
            .any(|fields| fields.get(3).is_some_and(|members| members.split(|byte| *byte == b',').any(|it| it == user)))
    }
}

/// Returns the names of a program by its path: the path, and its last part.
pub(super) fn names(program: &[u8]) -> Vec<Vec<u8>> {
    let last = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    vec![program.to_vec(), last.to_vec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = b"root:x:0:0::/:\nweb:x:900:901::/:\nbj\xf6rn:x:5:6::/:\n".to_vec();
        Accounts { passwd, group: b"root:x:0:\nadmin:x:7:other,web\nwww:x:901:\n".to_vec() }
    }

    fn web() -> Process {
        Process { uid: 900, gid: 901, pid: 42, names: names(b"/usr/bin/cp") }
    }

    fn found(text: &str) -> Option<Vec<(String, String)>> {
        let words = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let rules = parse(text.as_bytes(), &web(), &accounts()).unwrap()?;
        Some(rules.into_iter().map(|rule| (words(rule.controllers), words(rule.destination))).collect())
    }

    #[test]
    fn the_first_rule_that_matches_decides_with_those_that_continue_it() {
        let rule = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        let text = "# comment\nroot cpu a/\n% memory b/\nnobody-knows cpu x/\n% cpu y/\nweb:tar cpu c/\n% cpu d/\n\
                    web:cp  pids,memory\te/ # comment\n%\tcpu f/\n* * g/\n";
        assert_eq!(found(text), Some(vec![rule("pids,memory", "e/"), rule("cpu", "f/")]));
        assert_eq!(found("web:/usr/bin/cp cpu a"), Some(vec![rule("cpu", "a")]));
        for who in ["*", "*:cp", "@www", "@admin", "\"web:cp\""] {
            assert_eq!(found(&format!("{who} cpu a b\n").replace(" b", "")), Some(vec![rule("cpu", "a")]), "{who}");
        }
        assert_eq!(found("web cpu \"a b\""), Some(vec![rule("cpu", "a b")]));
        assert_eq!(found("root cpu a\n@root cpu a\nweb:rm cpu a"), None);
        assert_eq!(found("web cpu a ignore\n* cpu b"), Some(Vec::new()));
    }

    #[test]
    fn a_line_that_is_no_rule_is_an_error_only_before_the_rule_that_matches() {
        assert_eq!(parse(b"root cpu\n* cpu a", &web(), &accounts()).unwrap_err().0, 1);
        assert_eq!(parse(b"* cpu a some", &web(), &accounts()).unwrap_err().0, 1);
        assert_eq!(parse(b"\xff\0 cpu a\n* \"cpu a", &web(), &accounts()).unwrap_err().0, 2);
        assert!(parse(b"* cpu a\nroot cpu b\nweb\n", &web(), &accounts()).is_ok());
    }

    #[test]
    fn names_and_numbers_of_the_process_are_inserted() {
        let expand = |text: &str| String::from_utf8(web().expand(text.as_bytes(), &accounts())).unwrap();
        assert_eq!(expand("a/%u/%U/%g/%G/%P/%x/\\%u%"), "a/web/900/www/901/42/%x/%u%");
        assert_eq!(expand("%p"), "/usr/bin/cp");
        let other = Process { uid: 1, gid: 1, ..web() };
        assert_eq!(other.expand(b"%u-%g", &accounts()), b"1-1");
    }
}
