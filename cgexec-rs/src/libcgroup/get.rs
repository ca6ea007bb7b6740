//! `cgget` and `cgxget`: prints parameters of groups. `cgget(1)`.
//!
//! A value of several lines is indented from its second line on, as libcgroup prints it.

use std::ffi::OsString;
use std::fmt::Write;

use plumbing::cgroup::group::Group;
use plumbing::cgroup::hierarchy::{Hierarchies, Hierarchy};
use plumbing::process::startup;
use plumbing::{Fault, Status};

use super::convert::Notation;
use super::spec::{self, controller_of, is_missing, open_in};
use crate::existing::Existing;

/// A command line of cgget or cgxget.
#[derive(Debug)]
pub(crate) struct Get {
    pub(super) wanted: Wanted,
    pub(super) style: Style,
    pub(super) notation: Notation,
}

/// What is printed.
#[derive(Debug)]
pub(super) enum Wanted {
    /// `-m`
    Mode,
    /// `-c`
    Versions,
    Parameters(Vec<Asked>),
}

/// One group, and what is printed of it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The path as it was written.
    shown: String,
    group: Existing,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// `-r`
    Named(Vec<String>),
    /// `-g`
    Of(Vec<String>),
    All,
}

/// How it is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) headers: bool,
    pub(super) names: bool,
}

/// Reads the groups of a command line: PATHs with `-r`, `-g CONTROLLERS` or nothing, or groups that `-g` names.
pub(super) fn groups(paths: &[&OsString], specs: &[&OsString], variables: &[String]) -> Result<Vec<Asked>, Fault> {
    let (named, bare): (Vec<_>, Vec<_>) = specs.iter().copied().partition(|word| word.to_string_lossy().contains(':'));
    if !named.is_empty() && !paths.is_empty() {
        return Err(Fault::usage("a group is named twice: by -g CONTROLLERS:PATH and by PATH"));
    }
    variables.iter().try_for_each(|name| controller_of(name).map(drop))?;
    let bare: Vec<String> =
        bare.iter().flat_map(|word| word.to_string_lossy().split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    let what = match (variables.is_empty(), bare.is_empty()) {
        (false, _) => What::Named(variables.to_owned()),
        (true, false) => What::Of(bare),
        (true, true) => What::All,
    };
    let mut groups = Vec::new();
    for word in named {
        let group = Existing::parse(word)?;
        let text = word.to_string_lossy();
        let (controllers, path) = text.split_once(':').unwrap_or_default();
        let what = match controllers {
            "" | "*" => What::All,
            listed => What::Of(listed.split(',').map(str::to_owned).collect()),
        };
        groups.push(Asked { shown: path.to_owned(), group, what });
    }
    for path in paths {
        let group = Existing::of_mount(path)?;
        groups.push(Asked { shown: path.to_string_lossy().into_owned(), group, what: what.clone() });
    }
    if groups.is_empty() { Err(Fault::usage("a cgroup is missing: PATH or -g CONTROLLERS:PATH")) } else { Ok(groups) }
}

impl Get {
    /// Prints what was asked for.
    pub(super) fn apply(&self) -> Result<Status, Fault> {
        let all = Hierarchies::discover()?;
        let text = match &self.wanted {
            Wanted::Mode => mode(&all).to_owned() + "\n",
            Wanted::Versions => versions(&all)?,
            Wanted::Parameters(groups) => {
                let mut text = String::new();
                for group in groups {
                    self.print(&all, group, &mut text)?;
                }
                text
            }
        };
        startup::print(&text)
    }

    fn print(&self, all: &Hierarchies, group: &Asked, text: &mut String) -> Result<(), Fault> {
        if self.style.headers {
            line(text, format_args!("{}:", group.shown.escape_debug()));
        }
        match &group.what {
            What::Named(names) => {
                for name in names {
                    let (hierarchy, opened) = spec::open(all, &group.group, controller_of(name)?)?;
                    self.print_one(&opened, hierarchy.version, name, text)?;
                }
            }
            What::Of(controllers) => {
                for controller in controllers {
                    let (_, opened) = spec::open(all, &group.group, controller)?;
                    self.print_controller(&opened, controller, text)?;
                }
            }
            What::All => self.print_all(all, &group.group, text)?,
        }
        if self.style.headers {
            text.push('\n');
        }
        Ok(())
    }

    fn print_all(&self, all: &Hierarchies, group: &Existing, text: &mut String) -> Result<(), Fault> {
        let mut missing = None;
        let mut found = false;
        for hierarchy in all.iter().filter(|hierarchy| hierarchy.is_mounted()) {
            match open_in(hierarchy, group) {
                Err(fault) if is_missing(&fault) => missing = Some(fault),
                opened => {
                    let opened = opened?;
                    found = true;
                    for controller in controllers_in(hierarchy, &opened)? {
                        self.print_controller(&opened, &controller, text)?;
                    }
                }
            }
        }
        match (found, missing) {
            (true, _) => Ok(()),
            (false, Some(fault)) => Err(fault),
            (false, None) => Err(spec::nothing_mounted()),
        }
    }

    fn print_controller(&self, group: &Group, controller: &str, text: &mut String) -> Result<(), Fault> {
        for name in spec::parameters(group, controller)? {
            // Files that cannot be read now, such as one of a controller that is switched off, are left out by libcgroup, too.
            if let Ok(value) = group.read(&name) {
                self.print_value(&name, &value, text);
            }
        }
        Ok(())
    }

    fn print_one(&self, group: &Group, version: u8, name: &str, text: &mut String) -> Result<(), Fault> {
        if let Some((name, value)) = self.notation.as_read(group, version, name)? {
            self.print_value(&name, &value, text);
        }
        Ok(())
    }

    fn print_value(&self, name: &str, value: &str, text: &mut String) {
        let value = value.replace('\n', "\n\t");
        let prefix = if self.style.names { format!("{name}: ") } else { String::new() };
        line(text, format_args!("{prefix}{value}"));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").ok();
}

/// Returns the controllers that a group has, the kernel's own `cgroup` first on v2.
pub(super) fn controllers_in(hierarchy: &Hierarchy, group: &Group) -> Result<Vec<String>, Fault> {
    if hierarchy.version == 1 {
        return Ok(hierarchy.controllers.iter().filter(|name| !name.starts_with("name=")).cloned().collect());
    }
    let offered = group.read("cgroup.controllers")?;
    Ok(std::iter::once("cgroup").chain(offered.split(' ')).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn mode(all: &Hierarchies) -> &'static str {
    let has = |version| all.iter().any(|hierarchy| hierarchy.version == version && hierarchy.is_mounted());
    match (has(1), has(2)) {
        (true, true) => "Hybrid mode (Cgroup v1/v2).",
        (true, false) => "Legacy Mode (Cgroup v1 only).",
        (false, true) => "Unified Mode (Cgroup v2 only).",
        (false, false) => "No cgroup hierarchy is mounted.",
    }
}

fn versions(all: &Hierarchies) -> Result<String, Fault> {
    let mut text = format!("{:<11}\t{:<7}\n", "#Controller", "Version");
    for hierarchy in all.iter().filter(|hierarchy| hierarchy.is_mounted()) {
        let root = hierarchy.open(hierarchy.mount_root().unwrap_or(std::path::Path::new("/")))?;
        for controller in controllers_in(hierarchy, &root)? {
            line(&mut text, format_args!("{controller:<11}\t{}", hierarchy.version));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_ascii_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_group_is_named_by_a_path_or_by_a_specification() {
        let groups = |paths: &str, specs: &str, variables: &[&str]| {
            let variables: Vec<_> = variables.iter().map(|name| (*name).to_owned()).collect();
            let (paths, specs) = (words(paths), words(specs));
            groups(&paths.iter().collect::<Vec<_>>(), &specs.iter().collect::<Vec<_>>(), &variables)
                .map(|groups| groups.len())
        };
        assert_eq!(groups("a b", "", &["memory.max"]).unwrap(), 2);
        assert_eq!(groups("a", "memory cpu", &[]).unwrap(), 1);
        assert_eq!(groups("", "memory:a cpu:b", &[]).unwrap(), 2);
        assert!(groups("a", "memory:b", &[]).is_err() && groups("", "memory", &[]).is_err());
        assert!(groups("", "", &[]).is_err() && groups("a", "", &["nodot"]).is_err());
    }
}
