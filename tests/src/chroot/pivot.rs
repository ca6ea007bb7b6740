//! Which runs pivot, and whose root stays the same: a mount namespace that chroot-rs makes is pivoted; a plain chroot and a
//! mount namespace that other processes use are not.

use crate::harness::need::Need;
use crate::harness::row::Row;
use crate::harness::script::Outcome;
use crate::harness::world::World;

const NEEDS: &[Need] = &[Need::Program("busybox", "busybox-static"), Need::UserNamespaces];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("a second chroot leads out of a plain root, but not out of a pivoted one", NEEDS, |world| {
        for (name, options, root, expected) in [
            ("plain", "", "root", ("open", "open")),
            ("needless", "--no-pivot", "root", ("open", "open")),
            ("pivot", "--pivot", "root", ("held", "held")),
            ("std", "--std", "root", ("held", "held")),
            ("mounts", "--bind $S/data:/data", "root", ("held", "held")),
            ("option", "--read-only", "root", ("held", "held")),
            ("covered", "--read-only --tmpfs /new", "root", ("held", "held")),
            ("layers", "--overlay $S/root", "", ("held", "held")),
            ("not", "--no-pivot --bind $S/data:/data", "root", ("held", "held")),
            ("not-covered", "--no-pivot --read-only --tmpfs /new", "root", ("held", "held")),
            ("not-layers", "--no-pivot --overlay $S/root", "", ("held", "held")),
        ]
        .into_iter()
        .filter(|(name, ..)| world.is_root || !name.starts_with("not"))
        {
            let root = if root.is_empty() { "" } else { "$S/root" };
            // Nothing covers this directory: the root of a plain chroot is a directory of the host's mount.
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
    Row::new("a container that is made in a chroot has no way out of it, to the chroot or to what is above", NEEDS, |world| {
        // A rescue system: the root is a directory of a mount, or a mount of its own, and mounts propagate or do not.
        let inside = "mkdir $S/root/inner && cp -r $ROOT/. $S/root/inner && cp $S/root/chroot-rs $S/root/inner && \
             cp $(command -v unshare-rs) $S/root/bin && mkdir -p $S/root/proc $S/root/dev && ";
        for (name, mounts, options, expected) in [
            ("plain-mount", "mount --bind $S/root $S/root;", "", "open open"),
            ("pivot-mount", "mount --bind $S/root $S/root;", "--pivot", "held held"),
            ("std-mount", "mount --bind $S/root $S/root;", "--std", "held held"),
            ("std", "", "--std", "held held"),
            ("not-mount", "mount --bind $S/root $S/root;", "--no-pivot --bind /bin:/data", "held held"),
        ]
        .into_iter()
        .filter(|(name, ..)| world.is_root || !name.starts_with("not"))
        {
            let line = format!(
                "{inside} unshare-rs $OWN --mount --propagation shared -- sh -c '{mounts} mount --rbind /proc $S/root/proc; \
                 mount --rbind /dev $S/root/dev; cat /proc/self/mountinfo >$S/before; \
                 chroot $S/root /bin/unshare-rs --mount --pid --ipc --uts --fork -- /chroot-rs {options} inner -- \
                 /chroot-rs --audit --json; cmp /proc/self/mountinfo $S/before' >$S/audit; status=$?; \
                 jq -r '[.probes[] | select(.name == \"chroot-escape\" or .name == \"root-mount\") | .outcome] | join(\" \")' $S/audit; \
                 exit $status"
            );
            shell(world, &format!("nested-{name}"), &line).succeeds().stdout_is(&format!("{expected}\n"));
        }
    })
    .host_only(),
    Row::new(
        "processes in the caller's mount namespace keep the root, the mounts and their propagation",
        NEEDS,
        |world| {
            for (number, options) in
                ["--std", "--pivot", "--no-pivot", "--read-only --tmpfs /new", ""].iter().enumerate()
            {
                let line = format!(
                    "unshare-rs $OWN --mount --propagation shared -- sh -c '{}'",
                    around(&format!("chroot-rs {options} $S/root -- /bin/true"))
                );
                shell(world, &format!("caller-{number}"), &line).succeeds().stdout_is("same\n");
            }
        },
    ),
    Row::new("mounts that a command makes in a plain root stay there, as with GNU chroot", NEEDS, |world| {
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
    Row::new("a container that shares its mount namespace is not pivoted", NEEDS, |world| {
        let forged = "sed s/\\\"private\\\":false/\\\"private\\\":true/";
        for (name, stage, whose) in [
            ("ours", "chroot-rs --pipe --std $S/root", "it shares our mount namespace"),
            (
                "parents",
                "unshare-rs --mount -- chroot-rs --pipe --std $S/root",
                "it shares our parent's mount namespace",
            ),
            (
                "forged",
                "unshare-rs --mount -- chroot-rs --pipe --std $S/root",
                "it shares our parent's mount namespace",
            ),
            (
                "makers",
                "unshare-rs --mount sh -c \"chroot-rs --pipe --std $S/root; exit\"",
                "it shares its maker's mount namespace",
            ),
        ] {
            let pass = if name == "forged" { forged } else { "cat" };
            let pipe = format!("unshare-rs --hold --ttl 60 --pid | {pass} | {stage}");
            let line = format!("unshare-rs $OWN --mount --propagation shared -- sh -c '{}'", around(&pipe));
            let outcome = shell(world, &format!("shared-{name}"), &line).succeeds().stdout_is("same\n");
            let outcome = outcome.stderr_has("cannot change the root of process").stderr_has(whose);
            outcome.stderr_has("remedy: give the container its own: unshare-rs --hold --mount");
        }
    }),
    Row::new("without a pivot no unmasked proc can be mounted again", NEEDS, |world| {
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
                .stderr_has("remedy: mounts copied into a user namespace are locked");
            return;
        }
        shell(world, "masked", &line(std))
            .stdout_is("same\n")
            .stderr_has("cannot mount a new proc")
            .stderr_has("EPERM");
        // The masks cause the refusal, and nothing else does.
        shell(world, "unmasked", &line("--proc /proc")).stdout_is("same\n").stderr_is("");
    }),
    Row::new("without the privilege for a mount namespace nothing is pivoted", NEEDS, |world| {
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

/// Compares the root and the mounts of the shell that runs a line, before and after it.
fn around(line: &str) -> String {
    format!(
        "look() {{ stat -c %d:%i / /proc/self/ns/mnt -L; cat /proc/self/mountinfo; }}; look >$S/before; \
         {line}; look | cmp - $S/before && echo same"
    )
}

/// Runs a line with a root at `$S/root` that contains chroot-rs.
fn shell(world: &World, name: &str, line: &str) -> Outcome {
    let at = world.directory(&format!("pivot-{name}"));
    let own = if world.is_root { "" } else { "--user --map-root-user" };
    let make = "cp -r $ROOT $S/root && cp $(command -v chroot-rs) $S/root && mkdir -p $S/root/data $S/data";
    let script = world.script(&format!("{make} && export S && {line}")).variable("OWN", own);
    script.variable("S", at.display().to_string()).variable("ROOT", world.busybox_root().display().to_string()).run()
}
