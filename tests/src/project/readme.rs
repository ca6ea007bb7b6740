//! The README, run: every block of commands in it does what it says, in both languages the same.

use crate::harness::held::Held;
use crate::harness::need::{BUSYBOX, JQ, Need};
use crate::harness::row::Row;
use crate::harness::scan::Scan;

const README: &str = include_str!("../../../README.md");
const TRANSLATED: &str = include_str!("../../../README.zh-CN.md");

const NEEDS: &[Need] = &[BUSYBOX, JQ, Need::UserNamespaces, Need::NetworkNamespaces];

/// What `cargo xtask test` itself runs, being what runs this.
const BY_XTASK: &[&str] =
    &["cargo xtask demo", "cargo xtask demo --pipe --explain", "cargo xtask build", "cargo xtask test --setup"];

/// The rows of this topic.
pub const ROWS: &[Row] = &[
    Row::new("the commands of the README do what it says", NEEDS, |world| {
        let mut directory = world.directory("readme");
        let blocks = blocks(README);
        assert!(blocks.len() >= 6, "{blocks:#?}");
        let before = Scan::take();
        for block in blocks.iter().filter(|block| block.contains("rootfs") || block.contains("-rs ")) {
            let needs_root = !block.contains("--user") && !block.contains("install -d");
            if needs_root && !world.is_root {
                continue;
            }
            // The record of the inspection names a container that has to run for it.
            let web = block.contains("--find web").then(|| Held::new(world, "web"));
            let script = format!("cd {} && {block}", directory.display());
            let outcome = world.script(&script).stdin("cat /proc/sys/kernel/hostname\n").run().succeeds();
            assert!(!outcome.stderr.contains("warning: "), "{outcome}");
            if block.ends_with("-- /bin/sh") && !block.contains("--pipe") {
                assert_eq!(outcome.stdout, "web\n", "{outcome}");
            }
            // The reader's shell stays where the first block has gone.
            if block.contains("&& cd box &&") {
                directory.push("box");
            }
            if web.is_some() {
                assert!(
                    outcome.stdout.contains("\"name\": \"web\"") && outcome.stdout.contains("\"interfaces\""),
                    "{outcome}"
                );
            }
        }
        before.wait_until_same(std::time::Duration::from_secs(10));
    }),
    Row::new("every other command of the README is one that the test run runs", &[], |_| {
        let rest: Vec<_> = blocks(README)
            .into_iter()
            .filter(|block| block.starts_with("cargo "))
            .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(rest, BY_XTASK);
    }),
    Row::new("the translated README has the same commands", &[], |_| {
        assert_eq!(blocks(README), blocks(TRANSLATED));
    }),
];

/// The lines that make a container and run a shell in it, with something else to run.
pub fn recipes(command: &str) -> Vec<String> {
    let recipes = blocks(README).into_iter().filter(|block| block.contains("--std ./rootfs"));
    recipes.map(|block| block.replace("-- /bin/sh", command)).collect()
}

/// The blocks that are marked as shell.
fn blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().trim_end().to_owned()).collect()
}
