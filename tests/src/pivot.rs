//! Who pivots, and whose root stays where it is: a mount namespace that chroot-rs makes is pivoted, a plain chroot and
//! every namespace that somebody else is in are not.

use crate::need::Need;
use crate::row::Row;
use crate::script::Outcome;
use crate::world::World;

const NEEDS: &[Need] = &[Need::Program("busybox", "busybox-static"), Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("no second chroot leads out of a pivoted root, as it does out of a plain one", NEEDS, |world| {
        for (name, options, root, expected) in [
            ("plain", "", "root", ("open", "open")),
            ("needless", "--no-pivot", "root", ("open", "open")),
            ("pivot", "--pivot", "root", ("held", "held")),
            ("std", "--std", "root", ("held", "held")),
            ("mounts", "--bind $S/data:/data", "root", ("held", "held")),
            ("option", "--read-only", "root", ("held", "held")),
            ("anew", "--read-only --tmpfs /anew", "root", ("held", "held")),
            ("layers", "--overlay $S/root", "", ("held", "held")),
            ("not", "--no-pivot --bind $S/data:/data", "root", ("held", "held")),
            ("not-anew", "--no-pivot --read-only --tmpfs /anew", "root", ("held", "held")),
            ("not-layers", "--no-pivot --overlay $S/root", "", ("held", "held")),
        ]
        .into_iter()
        .filter(|(name, ..)| world.is_root || !name.starts_with("not"))
        {
            let root = if root.is_empty() { "" } else { "$S/root" };
            // A directory that nothing lies over: the root that a plain chroot leaves is the host's.
            let line =
                format!("unshare-rs $OWN --pid --fork -- chroot-rs {options} {root} -- /chroot-rs --audit --json");
            let outcome = shell(world, &format!("escape-{name}"), &line);
            assert!(outcome.status <= 1, "{name}\n{outcome}");
            let audit: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("an audit");
            let of = |probe: &str| {
                let probes = audit["probes"].as_array().expect("probes");
                let found = probes.iter().find(|one| one["name"] == probe).expect("the probe");
                found["outcome"].as_str().expect("an outcome").to_owned()
            };
            assert_eq!((of("chroot-escape").as_str(), of("root-mount").as_str()), expected, "{name}\n{outcome}");
        }
    }),
    Row::new(
        "whoever is in the caller's mount namespace keeps the root, the mounts and their propagation",
        NEEDS,
        |world| {
            for (number, options) in
                ["--std", "--pivot", "--no-pivot", "--read-only --tmpfs /anew", ""].iter().enumerate()
            {
                let line = format!(
                    "unshare-rs $OWN --mount --propagation shared -- sh -c '{}'",
                    around(&format!("chroot-rs {options} $S/root -- /bin/true"))
                );
                shell(world, &format!("caller-{number}"), &line).succeeds().stdout_is("same\n");
            }
        },
    ),
    Row::new("what a command mounts in a plain root stays there, as with GNU chroot", NEEDS, |world| {
        for (name, tool, expected) in [
            ("gnu", "chroot", "mounted\n"),
            ("plain", "chroot-rs", "mounted\n"),
            ("pivot", "chroot-rs --pivot", "gone\n"),
        ] {
            let line = format!(
                "unshare-rs $OWN --mount -- sh -c '{tool} $S/root /bin/busybox mount -t tmpfs none /data && \
                 [ $(stat -c %d $S/root) = $(stat -c %d $S/root/data) ] && echo gone || echo mounted'"
            );
            shell(world, &format!("mounts-{name}"), &line).succeeds().stdout_is(expected);
        }
    }),
    Row::new(
        "a container without a mount namespace of its own is not pivoted, whoever else is in it",
        NEEDS,
        |world| {
            let forged = "sed s/\\\"private\\\":false/\\\"private\\\":true/";
            for (name, stage, whose) in [
                ("ours", "chroot-rs --pipe --std $S/root", "is ours, too"),
                ("parents", "unshare-rs --mount -- chroot-rs --pipe --std $S/root", "is our parent"),
                ("forged", "unshare-rs --mount -- chroot-rs --pipe --std $S/root", "is our parent"),
                ("makers", "unshare-rs --mount sh -c \"chroot-rs --pipe --std $S/root; exit\"", "is its maker"),
            ] {
                let pass = if name == "forged" { forged } else { "cat" };
                let pipe = format!("unshare-rs --hold --ttl 60 --pid | {pass} | {stage}");
                let line = format!("unshare-rs $OWN --mount --propagation shared -- sh -c '{}'", around(&pipe));
                let outcome = shell(world, &format!("shared-{name}"), &line).succeeds().stdout_is("same\n");
                let outcome = outcome.stderr_has("cannot change the root of process").stderr_has(whose);
                outcome.stderr_has("remedy: give the container its own: unshare-rs --hold --mount");
            }
        },
    ),
    Row::new("without a pivot no unmasked proc is left to be mounted again", NEEDS, |world| {
        let nested = "/bin/unshare-rs --user --map-root-user --mount --pid --fork --mount-proc -- /bin/true";
        let line = |options: &str| {
            format!(
                "cp $(command -v unshare-rs) $S/root/bin; unshare-rs $OWN --mount --propagation shared --pid --net --fork -- \
                 sh -c '{}'",
                around(&format!("chroot-rs --no-pivot {options} $S/root -- {nested}"))
            )
        };
        let std = "--std --seccomp none --capabilities all";
        if !world.is_root {
            let outcome = shell(world, "locked", &line(std));
            outcome
                .stdout_is("same\n")
                .stderr_has("EINVAL")
                .stderr_has("remedy: what came along into a user namespace is locked");
            return;
        }
        shell(world, "masked", &line(std))
            .stdout_is("same\n")
            .stderr_has("cannot mount a new proc")
            .stderr_has("EPERM");
        // What refuses it is the masks, and not something else.
        shell(world, "unmasked", &line("--proc /proc")).stdout_is("same\n").stderr_is("");
    }),
    Row::new("without the right to a mount namespace nothing is pivoted", NEEDS, |world| {
        let line = if world.is_root {
            "unshare-rs --user --map-root-user --mount -- chroot-rs --capability-set bounding=CHOWN --capabilities CHOWN / \
             chroot-rs --pivot $S/root -- /bin/true"
        } else {
            "chroot-rs --pivot $S/root -- /bin/true"
        };
        shell(world, "no-right", line)
            .fails_with(125)
            .stderr_has("unshare(CLONE_NEWNS): EPERM")
            .stderr_has("CAP_SYS_ADMIN is missing");
    }),
];

/// Runs a line between two looks at the root and the mounts of the shell that runs it.
fn around(line: &str) -> String {
    format!(
        "look() {{ stat -c %d:%i / /proc/self/ns/mnt -L; cat /proc/self/mountinfo; }}; look >$S/before; \
         {line}; look | cmp - $S/before && echo same"
    )
}

/// `$S` has a root with our own tool in it.
fn shell(world: &World, name: &str, line: &str) -> Outcome {
    let at = world.directory(&format!("pivot-{name}"));
    let own = if world.is_root { "" } else { "--user --map-root-user" };
    let make = "cp -r $ROOT $S/root && cp $(command -v chroot-rs) $S/root && mkdir -p $S/root/data $S/data";
    let script = world.script(&format!("{make} && export S && {line}")).variable("OWN", own);
    script.variable("S", at.display().to_string()).variable("ROOT", world.busybox_root().display().to_string()).run()
}
