//! CNI configurations: finding the one of a network, and what each plugin is given. `containernetworking/cni SPEC.md`,
//! section 1 and 3.
//!
//! Lists (`.conflist`) come first, then single plugins (`.conf`, `.json`), each in the order of the names of the files. A
//! file that cannot be understood hides no other network. The surprise: the plugins of a network may also be in files of
//! their own, in a directory that has the network's name.

use std::path::{Path, PathBuf};

use plumbing::Fault;
use plumbing::command_line::regular;
use plumbing::kernel::look;
use serde_json::{Map, Value, json};

use super::wanted::{self, Argument, Wanted};

/// The newest version of the specification that this follows.
const NEWEST: (u32, u32, u32) = (1, 1, 0);
/// The longest configuration.
const LONGEST: u64 = 1 << 20;

/// The configuration of a network: a list of plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The version of the specification, as the plugins get it.
    pub version: String,
    /// The plugins, in the order of ADD.
    pub plugins: Vec<Map<String, Value>>,
    /// Whether CHECK is not to be executed.
    pub disable_check: bool,
    /// Whether more plugins may be in files of their own.
    has_folder: bool,
}

impl Network {
    /// Finds the network.
    pub fn find(wanted: &Wanted) -> Result<Network, Fault> {
        let goal = format!("find the CNI network {}", wanted.network);
        let files = files(&wanted.directory, &goal)?;
        let (mut names, mut unread) = (Vec::new(), Vec::new());
        for (path, is_list) in &files {
            match read(path).and_then(|text| Network::parse(&text, *is_list)) {
                Ok(network) if network.name == wanted.network => return network.with_folder(&wanted.directory),
                Ok(network) => names.push(network.name),
                Err(why) => unread.push(format!("{}: {why}", path.display())),
            }
        }
        let has = if names.is_empty() { "no network".to_owned() } else { format!("only {}", names.join(", ")) };
        let fault = Fault::new(format!("cannot {goal}: {} has {has}", wanted.directory.display()));
        let remedy = || format!("correct these files: {}", unread.join("; "));
        Err(if unread.is_empty() { fault } else { fault.with_remedy(remedy()) })
    }

    /// Parses a list of plugins, or a single one.
    pub fn parse(text: &[u8], is_list: bool) -> Result<Network, String> {
        let mut members: Map<String, Value> = plumbing::json::read(text).map_err(|error| error.to_string())?;
        let name = members.get("name").and_then(Value::as_str).filter(|name| wanted::is_name(name));
        let name = name.ok_or("it has no valid \"name\"")?.to_owned();
        let version = version(&members)?;
        let plugins = match members.remove("plugins") {
            Some(Value::Array(plugins)) if is_list => plugins,
            Some(Value::Null) | None if is_list => Vec::new(),
            _ if is_list => return Err("its member \"plugins\" is no list".to_owned()),
            _ => vec![Value::Object(members.clone())],
        };
        let plugins = plugins.into_iter().map(plugin).collect::<Result<_, _>>()?;
        let disable_check = members.get("disableCheck").and_then(Value::as_bool).unwrap_or(false);
        let is_inline = |members: &Map<_, _>| members.get("loadOnlyInlinedPlugins").and_then(Value::as_bool);
        let has_folder = is_list && is_inline(&members) != Some(true);
        let network = Network { name, version, plugins, disable_check, has_folder };
        if network.plugins.is_empty() && !has_folder { Err("it has no plugin".to_owned()) } else { Ok(network) }
    }

    /// Adds the plugins that are in files of their own, if the configuration allows it.
    fn with_folder(mut self, directory: &Path) -> Result<Network, Fault> {
        let folder = directory.join(&self.name);
        if self.has_folder && folder.is_dir() {
            let goal = format!("read the plugins of the CNI network {}", self.name);
            let files = files(&folder, &goal)?;
            for (path, _) in files.iter().filter(|(path, _)| path.extension().is_some_and(|is| is == "conf")) {
                let read = read(path).and_then(|text| plumbing::json::read(&text).map_err(|error| error.to_string()));
                let wrong = |why| Fault::new(format!("cannot {goal}: {}: {why}", path.display()));
                self.plugins.push(read.and_then(plugin).map_err(wrong)?);
            }
        }
        // The cache has all of them.
        self.has_folder = false;
        match self.plugins.first() {
            Some(_) => Ok(self),
            None => Err(Fault::new(format!("cannot use the CNI network {}: it has no plugin", self.name))),
        }
    }

    /// Returns the configuration as one list, for the cache.
    pub fn text(&self) -> String {
        json!({
            "cniVersion": self.version,
            "name": self.name,
            "disableCheck": self.disable_check,
            "loadOnlyInlinedPlugins": true,
            "plugins": self.plugins,
        })
        .to_string()
    }

    /// Refuses arguments that no plugin would get.
    pub fn require_capabilities(&self, arguments: &[Argument]) -> Result<(), Fault> {
        let declares = |capability| self.plugins.iter().any(|plugin| has_capability(plugin, capability));
        match arguments.iter().find(|argument| !declares(argument.capability)) {
            None => Ok(()),
            Some(Argument { option, capability, .. }) => Err(Fault::new(format!(
                "cannot pass {option} on to the CNI network {}: none of its plugins declares the capability {capability}",
                self.name
            ))
            .with_remedy(format!("add to a plugin that has it: \"capabilities\": {{\"{capability}\": true}}"))),
        }
    }

    /// Returns what a plugin reads from its stdin.
    pub fn input(&self, plugin: &Map<String, Value>, arguments: &Map<String, Value>, result: Option<&Value>) -> Value {
        let mut input = plugin.clone();
        input.remove("capabilities");
        let own: Map<_, _> = arguments
            .iter()
            .filter(|(name, _)| has_capability(plugin, name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        if !own.is_empty() {
            input.insert("runtimeConfig".to_owned(), own.into());
        }
        input.insert("name".to_owned(), self.name.as_str().into());
        input.insert("cniVersion".to_owned(), self.version.as_str().into());
        if let Some(result) = result {
            input.insert("prevResult".to_owned(), result.clone());
        }
        input.into()
    }

    /// Returns whether DEL gets the result of ADD, and CHECK exists.
    pub fn has_check(&self) -> bool {
        parse_version(&self.version).is_some_and(|version| version >= (0, 4, 0))
    }

    /// Returns whether a plugin gets the result of the one before.
    pub fn has_previous_result(&self) -> bool {
        parse_version(&self.version).is_some_and(|version| version >= (0, 3, 0))
    }
}

/// Returns the type of a plugin, which is the name of its program.
pub fn kind(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn has_capability(plugin: &Map<String, Value>, name: &str) -> bool {
    plugin.get("capabilities").and_then(|all| all.get(name)) == Some(&Value::Bool(true))
}

fn plugin(value: Value) -> Result<Map<String, Value>, String> {
    let Value::Object(members) = value else { return Err("a plugin is no object".to_owned()) };
    // It is the name of a program in a directory of plugins, and nothing else.
    match kind(&members) {
        "" | "." | ".." => Err("a plugin has no \"type\"".to_owned()),
        kind if kind.contains(['/', '\0']) => Err(format!("the \"type\" {kind:?} of a plugin is no name of a program")),
        _ => Ok(members),
    }
}

/// Returns the newest version that the configuration allows and that this follows.
fn version(members: &Map<String, Value>) -> Result<String, String> {
    let own = members.get("cniVersion").and_then(Value::as_str);
    let more = members.get("cniVersions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let all: Vec<_> = own.into_iter().chain(more).collect();
    if all.is_empty() {
        return Ok("0.2.0".to_owned());
    }
    let known = all.iter().filter_map(|text| Some((parse_version(text)?, *text)));
    let best = known.filter(|(version, _)| *version <= NEWEST).max_by_key(|(version, _)| *version);
    let wrong = || {
        format!(
            "its \"cniVersion\" {} is not supported (the newest is {}.{}.{})",
            all.join(", "),
            NEWEST.0,
            NEWEST.1,
            NEWEST.2
        )
    };
    best.map(|(_, text)| text.to_owned()).ok_or_else(wrong)
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let text = regular::read(path, LONGEST).map_err(|fault| fault.to_string())?;
    text.ok_or_else(|| "it is gone".to_owned())
}

/// Returns the files of configurations, each with whether it has a list.
fn files(directory: &Path, goal: &str) -> Result<Vec<(PathBuf, bool)>, Fault> {
    let shown = directory.to_string_lossy();
    let entries: Vec<_> = look(goal, format!("openat(AT_FDCWD, {shown:?}, O_DIRECTORY)"), || {
        std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()
    })?;
    let is_list = |path: PathBuf| match path.extension()?.to_str()? {
        "conflist" => Some((path, true)),
        "conf" | "json" => Some((path, false)),
        _ => None,
    };
    let mut files: Vec<_> = entries.into_iter().filter_map(is_list).collect();
    files.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    Ok(files)
}

#[cfg(test)]
mod tests;
