//! uutils coreutils' tests of chroot, which are written in Rust: cargo downloads the crate and builds its tests, and a
//! program named coreutils replaces theirs. Tests that need root use sudo, which is replaced as well.
//!
//! Most of them are skipped when uutils runs them, and some cannot pass: so each test that our chroot fails also runs with
//! theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{LIMIT, Place, Verdict, cache, outcome, replace, write_program};
use crate::report::Report;
use crate::workspace;

const MANIFEST: &str = "[package]\nname = \"fetch\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
                        coreutils = { version = \"*\", default-features = false }\n";
/// Each tool has its own messages: the tests are changed to expect any text on stderr.
const WORDS: [(&str, &str); 5] = [
    (".stderr_only(", ".no_stdout().complains("),
    (".stderr_is(", ".complains("),
    (".stderr_contains(", ".complains("),
    (".starts_with(\"error: the following required arguments were not provided\")", ".contains(char::is_alphabetic)"),
    (".contains(\"<newroot>\")", ".contains(char::is_alphabetic)"),
];
const COMPLAINS: &str = "
trait Complains {
    fn complains(&self, _words: impl AsRef<str>) -> &Self;
}

impl Complains for uutests::util::CmdResult {
    fn complains(&self, _words: impl AsRef<str>) -> &Self {
        assert!(!self.stderr_str().is_empty(), \"it prints nothing\");
        self
    }
}
";
const NOBODY: &str = "65534";

/// The programs that cargo built, where every user can run them.
struct Built {
    tests: PathBuf,
    folder: PathBuf,
}

pub fn run(place: &Place) -> Result<Report> {
    let folder = place.folder("uutils")?;
    let (tests, theirs) = build()?;
    let built = Built { tests: folder.join("tests"), folder };
    fs::copy(&tests, &built.tests)?;
    fs::create_dir(built.folder.join("theirs"))?;
    fs::copy(&theirs, built.program("theirs"))?;
    fs::create_dir(built.folder.join("ours"))?;
    write_program(&built.program("ours"), &format!("shift; exec {} \"$@\"", place.tool("chroot-rs").display()))?;
    let scratch = place.folder("uutils/scratch")?;
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o1777))?;
    let listed = workspace::stdout_of(Command::new(&built.tests).args(["--list", "test_chroot::"]))?;
    let names: Vec<_> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    ensure!(!names.is_empty(), "uutils has no tests of chroot");
    let mut report = Report::default();
    for name in names {
        let short = name.trim_start_matches("test_chroot::");
        built.judge(name)?.add_to(&mut report, &format!("uutils coreutils' {short}"));
    }
    Ok(report)
}

impl Built {
    fn program(&self, whose: &str) -> PathBuf {
        self.folder.join(whose).join("coreutils")
    }

    fn judge(&self, name: &str) -> Result<Verdict> {
        Ok(match (self.run(name, "ours")?, self.run(name, "theirs")?) {
            (Verdict::Failed(_), Verdict::Failed(said)) => {
                let place = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
                Verdict::Unpassable(format!("uutils' own chroot fails it, too: {}", place.unwrap_or_default()))
            }
            (ours, _) => ours,
        })
    }

    /// Runs a test as nobody, which most tests skip because sudo is needed; then as root, which our sudo allows.
    fn run(&self, name: &str, whose: &str) -> Result<Verdict> {
        match self.run_as(&["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"], name, whose)? {
            Verdict::Skipped(_) => self.run_as(&["--groups", "0"], name, whose),
            verdict => Ok(verdict),
        }
    }

    fn run_as(&self, who: &[&str], name: &str, whose: &str) -> Result<Verdict> {
        let mut test = Command::new("timeout");
        test.args([LIMIT, "setpriv"]).args(who).arg(&self.tests).args(["--exact", "--nocapture", name]);
        test.env("UUTESTS_BINARY_PATH", self.program(whose)).env("TMPDIR", self.folder.join("scratch"));
        test.env("PATH", path()?).env_remove("CI").env("RUST_BACKTRACE", "0").current_dir(&self.folder);
        let (is_good, _, said) = outcome(&mut test)?;
        let why = said.lines().find_map(|line| line.split_once("Test skipped; "));
        Ok(match (is_good, why) {
            (true, Some((_, why))) => Verdict::Skipped(why.to_owned()),
            (true, None) => Verdict::Passed,
            (false, _) => Verdict::Failed(said),
        })
    }
}

/// Builds the tests and the command that they test, with only chroot in it.
fn build() -> Result<(PathBuf, PathBuf)> {
    let cache = cache()?.join("uutils");
    let source = fetched(&cache)?;
    fs::create_dir_all(cache.join("bin"))?;
    write_program(&cache.join("bin/sudo"), "shift 2; exec \"$@\"")?;
    let mut cargo = cargo()?;
    cargo.args(["test", "--quiet", "--no-run", "--message-format=json", "--test=tests"]);
    cargo.args(["--no-default-features", "--features=chroot"]);
    cargo.arg("--manifest-path").arg(source.join("Cargo.toml")).arg("--target-dir").arg(cache.join("target"));
    // The tests find sudo through the PATH at their build.
    let output = workspace::stdout_of(cargo.env("PATH", path()?))?;
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executables: Vec<_> = messages.filter_map(|it| Some(PathBuf::from(it["executable"].as_str()?))).collect();
    let named = |begin: &str| {
        let is = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin));
        executables.iter().find(is).cloned().with_context(|| format!("cargo built no {begin}"))
    };
    Ok((named("tests-")?, named("coreutils")?))
}

/// Returns a copy of the crate's source, with changed tests.
fn fetched(cache: &Path) -> Result<PathBuf> {
    let source = cache.join("source");
    if source.is_dir() {
        return Ok(source);
    }
    let fetch = cache.join("fetch");
    fs::create_dir_all(fetch.join("src"))?;
    fs::write(fetch.join("Cargo.toml"), MANIFEST)?;
    fs::write(fetch.join("src/lib.rs"), "")?;
    let mut metadata = cargo()?;
    metadata.args(["metadata", "--quiet", "--format-version=1", "--manifest-path"]).arg(fetch.join("Cargo.toml"));
    let known: Value = serde_json::from_str(&workspace::stdout_of(&mut metadata)?)?;
    let packages = known["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = packages.iter().find(|package| package["name"] == "coreutils");
    let manifest = package.and_then(|package| package["manifest_path"].as_str()).context("cargo knows no coreutils")?;
    let partial = cache.join("partial");
    workspace::must(Command::new("rm").args(["-rf"]).arg(&partial))?;
    workspace::must(Command::new("cp").arg("-r").arg(Path::new(manifest).with_file_name("")).arg(&partial))?;
    let (manifest, tests) = (partial.join("Cargo.toml"), partial.join("tests/by-util/test_chroot.rs"));
    // Otherwise cargo would take it for a member of our workspace.
    fs::write(&manifest, fs::read_to_string(&manifest)? + "\n[workspace]\n")?;
    WORDS.iter().try_for_each(|(old, new)| replace(&tests, old, new))?;
    fs::write(&tests, fs::read_to_string(&tests)? + COMPLAINS)?;
    fs::rename(&partial, &source)?;
    Ok(source)
}

/// Runs cargo outside of the checkout, whose settings are for static executables: their tests find arguments only in dynamic ones.
fn cargo() -> Result<Command> {
    let mut cargo = workspace::cargo()?;
    cargo.current_dir("/");
    Ok(cargo)
}

fn path() -> Result<std::ffi::OsString> {
    let mut path = cache()?.join("uutils/bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    Ok(path)
}
