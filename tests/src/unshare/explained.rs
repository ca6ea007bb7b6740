//! The narration of every option of unshare-rs: a dry run with the option prints a step, and its reason, that a dry run
//! without the option does not print. The options come from the declaration, so that a new one without a case fails.

use super::options::{own, staged};
use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

/// An option, the options that it is used with, and a part of the step that it adds to the narration.
pub struct Case {
    option: &'static str,
    with: &'static str,
    step: &'static str,
}

const fn case(option: &'static str, with: &'static str, step: &'static str) -> Case {
    Case { option, with, step }
}

impl Case {
    /// Returns the command line of the dry run with the option.
    pub fn line(&self) -> String {
        line(&format!("{} {}", self.with, self.option))
    }
}

/// Returns the command line of a dry run. A hold has no command, and needs a reader of its record.
fn line(options: &str) -> String {
    let end = if options.contains("--hold") { "| cat" } else { "-- true" };
    format!("unshare-rs --dry-run {options} {end}")
}

/// Options that add no step.
const NO_STEP: [&str; 5] = ["help", "version", "explain", "dry-run", "error-fd"];

/// The cases, at least one for every other option.
pub const CASES: &[Case] = &[
    case("--mount", "", "unshare(CLONE_NEWNS)"),
    case("--uts", "", "unshare(CLONE_NEWUTS)"),
    case("--ipc", "", "unshare(CLONE_NEWIPC)"),
    case("--net", "", "unshare(CLONE_NEWNET)"),
    case("--pid", "", "unshare(CLONE_NEWPID)"),
    case("--user", "", "unshare(CLONE_NEWUSER)"),
    case("--cgroup", "", "unshare(CLONE_NEWCGROUP)"),
    case("--time", "", "unshare(CLONE_NEWTIME)"),
    case("--net=kept", "", "/ns/net\", \"kept\", NULL, MS_BIND"),
    case("--map-root-user", "", "/uid_map\", \"0 0 1\""),
    case("--map-current-user", "", "/gid_map\", \"0 0 1\""),
    case("--map-user 5", "", "/uid_map\", \"5 0 1\""),
    case("--map-group 6", "", "/gid_map\", \"6 0 1\""),
    case("--map-users 7:0:1", "", "/uid_map\", \"7 0 1\""),
    case("--map-groups 8:0:1", "", "/gid_map\", \"8 0 1\""),
    case("--map-auto", "", "/uid_map\", \"0 100000 10\""),
    case("--map-subids", "", "/gid_map\", \"100000 100000 10\""),
    case("--owner 1:2", "", "setresuid(1, 1, 1)"),
    case("--setgroups deny", "--user", "/setgroups\", \"deny\""),
    case("--propagation slave", "--mount", "MS_SLAVE"),
    case("--mount-proc", "--mount", "mount(\"proc\", \"/proc\""),
    case("--mount-binfmt", "--mount-proc", "mount(\"binfmt_misc\""),
    case("--load-interp :x:E::x::/bin/true:", "--mount-binfmt", "/register\", \":x:E::x::/bin/true:\""),
    case("--load-interp :x:E::x::/bin/true:F", "--root /", "/register\", \":x:E::x::/bin/true:F\""),
    case("--hostname lab", "--uts", "sethostname(\"lab\", 3)"),
    case("--domainname dom", "--uts", "setdomainname(\"dom\", 3)"),
    case("--monotonic 5", "--time", "timens_offsets\", \"monotonic 5 0\""),
    case("--boottime 5", "--time", "timens_offsets\", \"boottime 5 0\""),
    case("--monotonic -5", "--hold --time", "timens_offsets\", \"monotonic -5 0\""),
    case("--root /", "", "chroot(\"/\")"),
    case("--wd /", "", "chdir(\"/\")"),
    case("--setuid 3", "", "setresuid(3, 3, 3)"),
    case("--setgid 4", "", "setresgid(4, 4, 4)"),
    case("--keep-caps", "--user", "PR_CAP_AMBIENT"),
    case("--keep-caps", "--user --setuid 3", "PR_SET_KEEPCAPS"),
    case("--clear-env", "", "with an empty environment"),
    case("--whitelist-env PATH", "", "with PATH as its environment"),
    case("--fork", "", "clone3("),
    case("--kill-child", "--fork", "PR_SET_PDEATHSIG"),
    case("--kill-child", "--setuid 3", "PR_SET_PDEATHSIG"),
    case("--die-with-parent", "--fork", "PR_SET_PDEATHSIG"),
    case("--detach", "", "clone3("),
    case("--forward-signals", "--fork", "TERM and INT are forwarded"),
    case("--init", "--fork", "the command is a child of the init"),
    case("--init", "--pid --kill-child", "memfd"),
    case("--init", "", "PR_SET_CHILD_SUBREAPER"),
    case("--pid-file pid", "", "\"pid\")"),
    case("--ready-fd 1", "", ", \"\\n\", 1)"),
    case("--block-fd 0", "", "read("),
    case("--hold", "--uts", "clone3({flags=CLONE_PIDFD|CLONE_NEWUTS"),
    case("--name web", "--hold", "\"web\"]"),
    case("--name web", "--init", "PR_SET_NAME, \"web\""),
    case("--ttl 5", "--hold", "within 5000 ms"),
];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("every option of unshare-rs has a case with its step", &[], |_| {
        for argument in unshare_rs::command().get_arguments().filter(|argument| !argument.is_positional()) {
            let name = argument.get_long().unwrap_or_else(|| panic!("{argument} has no long name"));
            let has_option = |case: &&Case| case.option.split([' ', '=']).next() == Some(&format!("--{name}"));
            let count = CASES.iter().filter(has_option).count();
            assert!(count > 0 || NO_STEP.contains(&name), "no case in CASES has --{name}: which step does it add?");
        }
    }),
    Row::new(
        "the narration has the step of every option of unshare-rs, with a reason",
        &[Need::UserNamespaces],
        |world| {
            for case in CASES {
                let (with, without) = (run(world, &case.line()), run(world, &line(case.with)));
                let step = with.stderr.lines().find(|line| line.contains(case.step));
                let step = step.unwrap_or_else(|| panic!("{}: no step has {:?}\n{with}", case.option, case.step));
                let why = step.split_once(" # ").map(|(_, why)| why.trim()).unwrap_or_default();
                assert!(why.split(' ').count() > 2, "{step}: without a reason");
                assert!(
                    !without.stderr.contains(case.step),
                    "{}: the step is there without it\n{without}",
                    case.option
                );
            }
        },
    )
    .host_only(),
];

/// Runs a line as user 0, who has ten subordinate ids.
pub fn run(world: &World, line: &str) -> Outcome {
    let user = if own(world).is_empty() { "" } else { "unshare-rs --map-root-user --mount -- " };
    let ids = "printf 'root:100000:10\\n' >ids; for file in subuid subgid; do mount --bind ids /etc/$file; done";
    let line = line.replace('\'', "'\\''");
    staged(world, &format!("{ids}; touch kept; {user}bash -o pipefail -c '{line}'")).succeeds()
}
