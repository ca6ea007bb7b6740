//! The end-to-end suite, run twice: as root, and as a user without any privileges. Both run from a copy that everybody can
//! read, because the checkout may be in a folder that only its owner can enter.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::report::Report;
use crate::test::{each_line, part};
use crate::workspace::{self, TOOLS};

/// A user without an entry in any file of the machine, and without other processes.
const USER: u32 = 54321;

/// The suite, and the tools that it tests.
pub struct Suite {
    /// The folder of the five tools.
    pub tools: PathBuf,
    /// The folder of `suite` and `vm-init`.
    pub programs: PathBuf,
    /// Run only rows whose name contains this text.
    pub filter: Option<String>,
}

/// A user of the suite.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum User {
    Root,
    Unprivileged,
}

impl Suite {
    /// Builds `suite` and `vm-init`. In the dev profile, because a release build aborts on panic and so cannot catch one.
    pub fn build(tools: PathBuf, filter: Option<String>) -> Result<Self> {
        workspace::must(workspace::cargo()?.args(["build", "--package", "tests"]))?;
        let programs = workspace::executables(&workspace::host_triple()?, "debug")?;
        Ok(Self { tools, programs, filter })
    }
}

const AS_ROOT: &str = "the suite as root";
const AS_USER: &str = "the suite as an unprivileged user";

/// The option with which rows that failed run once more, after all others, while the machine is quiet.
const AGAIN: &str = "--second-run";

impl User {
    /// Returns the name of this user's part of a run.
    pub fn part(self) -> &'static str {
        match self {
            User::Root => AS_ROOT,
            User::Unprivileged => AS_USER,
        }
    }
}

/// Runs the suite on this machine, as each user that this user can become.
pub fn run(suite: &Suite, report: &mut Report) -> Result<()> {
    let copy = Copy::new(suite)?;
    part(AS_ROOT);
    if workspace::is_root()? {
        report.add(AS_ROOT, count(copy.command(User::Root)?.arg(AGAIN)));
    } else {
        report.skip(AS_ROOT, "this user is not root");
    }
    part(AS_USER);
    report.add(AS_USER, count(copy.command(User::Unprivileged)?.arg(AGAIN)));
    if suite.filter.is_none() {
        demos(&copy, report)?;
    }
    copy.remove()
}

/// Runs the demo, which the README mentions first, as each user that this user can become.
fn demos(copy: &Copy, report: &mut Report) -> Result<()> {
    part("the demo");
    for user in if workspace::is_root()? { &[true, false][..] } else { &[false] } {
        for words in [&["demo"][..], &["demo", "--pipe", "--explain"]] {
            let mut command = Command::new(copy.folder.join("xtask"));
            command.args(words).arg("--tools").arg(copy.folder.join("tools"));
            command.current_dir(&copy.folder).stdin(Stdio::null());
            if !user && workspace::is_root()? {
                command.uid(USER).gid(USER);
            }
            let who = if *user { "root" } else { "an unprivileged user" };
            report.check(&format!("cargo xtask {} as {who}", words.join(" ")), workspace::must(&mut command));
        }
    }
    Ok(())
}

/// Runs the suite and returns the results in its last line. Without that line, the suite did not finish.
pub fn count(command: &mut Command) -> Result<Report> {
    let mut account = None;
    let is_success = each_line(command, |line| {
        account = line.strip_prefix("suite: ").and_then(Report::parse).or(account);
    })?;
    let account = account.context("the suite ended without its last line")?;
    ensure!(is_success == (account.failed == 0), "the suite's exit status contradicts its last line");
    Ok(account)
}

/// A copy of the suite and of the tools, for one run.
pub struct Copy {
    folder: PathBuf,
    filter: Option<String>,
}

impl Copy {
    pub fn new(suite: &Suite) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        create(&folder)?;
        create(&folder.join("tools"))?;
        let tools = TOOLS.map(|tool| (suite.tools.join(tool), folder.join("tools").join(tool)));
        let own = std::env::current_exe().context("our own executable")?;
        let programs = [(suite.programs.join("suite"), folder.join("suite")), (own, folder.join("xtask"))];
        for (from, to) in tools.into_iter().chain(programs) {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            fs::set_permissions(&to, Permissions::from_mode(0o755))?;
        }
        Ok(Self { folder, filter: suite.filter.clone() })
    }

    /// Returns the suite's command for this user, with a folder for temporary files.
    pub fn command(&self, user: User) -> Result<Command> {
        let scratch = self.folder.join(if user == User::Root { "root" } else { "user" });
        create(&scratch)?;
        let mut command = Command::new(self.folder.join("suite"));
        command.args(&self.filter).env("TOOLS", self.folder.join("tools"));
        command.env("TMPDIR", &scratch).env("HOME", &scratch).current_dir(&self.folder).stdin(Stdio::null());
        if user == User::Unprivileged && workspace::is_root()? {
            chown(&scratch, Some(USER), Some(USER))?;
            // std clears the supplementary groups if root names a user.
            command.uid(USER).gid(USER);
        }
        Ok(command)
    }

    /// Returns the folder of the tools.
    pub fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    /// Removes the symbols of the tools: with them a tool takes longer to make its copy in memory.
    pub fn strip(&self) -> Result<()> {
        workspace::must(Command::new("strip").args(TOOLS.map(|tool| self.folder.join("tools").join(tool))))
    }

    pub fn remove(self) -> Result<()> {
        // If something is mounted in the folder, removing its contents would remove files of this machine.
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let below = points.find(|point| Path::new(point).starts_with(&self.folder));
        ensure!(below.is_none(), "a test has left a mount on {}", below.unwrap_or_default());
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(fs::set_permissions(folder, Permissions::from_mode(0o755))?)
}
